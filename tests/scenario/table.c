// SPDX-License-Identifier: Apache-2.0
// Lines that begin with '|' are rows; all others are for people. The outcome's columns are compared, or
// written.
#include "tests/scenario/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/failures.h"

#define ROWS_MAX 512 // lines of a file
#define CELL_MAX 240

enum column { FIRST, THEN, LEADS, RECORD, SERVES, REIGNS, AT_ONCE, HEALED, WHY, COLUMNS };
static const char *const heads[COLUMNS] = {"first",  "then",    "leads",  "record", "answers",
                                           "reigns", "at once", "healed", "why"};

struct row {
  bool is_row, is_head; // a row of failures, or the columns' names; else `text` as it stands
  char text[CELL_MAX * 2];
  char cell[COLUMNS][CELL_MAX];
};

struct table {
  const char *file;
  bool rewriting;
  size_t count;
  struct row row[ROWS_MAX];
};

static void split(struct row *row) {
  const char *at = row->text + 1;
  for (unsigned c = 0; c < COLUMNS; c++) {
    at += strspn(at, " ");
    size_t length = strcspn(at, "|"), whole = length;
    while (length > 0 && at[length - 1] == ' ')
      length--;
    snprintf(row->cell[c], CELL_MAX, "%.*s", (int)length, at);
    at += whole + (at[whole] == '|');
  }
}

static void read_row(struct row *row, const char *line) {
  snprintf(row->text, sizeof row->text, "%s", line);
  row->text[strcspn(row->text, "\n")] = 0;
  row->is_head = strncmp(line, "| first ", 8) == 0;
  row->is_row = line[0] == '|' && !row->is_head;
  if (row->is_row || row->is_head)
    split(row);
}

static FILE *open_or_die(const char *file, const char *mode) {
  FILE *stream = fopen(file, mode);
  if (stream == NULL) {
    perror(file);
    exit(2);
  }
  return stream;
}

static void read_table(struct table *table) {
  char line[sizeof table->row[0].text];
  FILE *in = open_or_die(table->file, "r");
  while (fgets(line, sizeof line, in) != NULL && table->count < ROWS_MAX)
    read_row(&table->row[table->count++], line);
  fclose(in);
}

bool table_is(const char *file) {
  char line[CELL_MAX] = "";
  FILE *in = open_or_die(file, "r");
  while (fgets(line, sizeof line, in) != NULL && (line[0] == '#' || line[0] == '\n'))
    ;
  fclose(in);
  return line[0] == '|';
}

// ---- playing ----

static void compare(struct table *table, struct row *row, size_t number, enum column column, const char *was,
                    bool *good) {
  if (strcmp(row->cell[column], was) == 0)
    return;
  if (!table->rewriting) {
    printf("%s:%zu: %s, then %s: %s: expected \"%s\", but it was \"%s\"\n", table->file, number,
           row->cell[FIRST], row->cell[THEN], heads[column], row->cell[column], was);
    *good = false;
  }
  snprintf(row->cell[column], CELL_MAX, "%s", was);
}

static bool play_row(struct table *table, size_t index) {
  struct row *row = &table->row[index];
  struct outcome was;
  if (!failures_play(row->cell[FIRST], row->cell[THEN], &was)) {
    printf("%s:%zu: a promise or a command failed, see above\n", table->file, index + 1);
    return false;
  }
  bool good = true;
  compare(table, row, index + 1, LEADS, was.leads, &good);
  compare(table, row, index + 1, RECORD, was.record, &good);
  compare(table, row, index + 1, SERVES, was.serves, &good);
  compare(table, row, index + 1, REIGNS, was.reigns, &good);
  compare(table, row, index + 1, AT_ONCE, was.at_once, &good);
  compare(table, row, index + 1, HEALED, was.healed, &good);
  if (row->cell[WHY][0] == 0 || strcmp(row->cell[WHY], "?") == 0) {
    printf("%s:%zu: %s, then %s: no reason is given: name the rule that demands this outcome\n", table->file,
           index + 1, row->cell[FIRST], row->cell[THEN]);
    good = false;
  }
  return good;
}

// ---- what is missing ----

static const struct row *find(const struct table *table, const char *first, const char *then) {
  for (size_t i = 0; i < table->count; i++)
    if (table->row[i].is_row && strcmp(table->row[i].cell[FIRST], first) == 0 &&
        strcmp(table->row[i].cell[THEN], then) == 0)
      return &table->row[i];
  return NULL;
}

/* One direction of a link is worth a row of its own where it ends in another way than both. */
static bool says_more(const struct table *table, const char *first, const char *then) {
  const char *whole_first = failure_both_ways(first), *whole_then = failure_both_ways(then);
  const struct row *whole = find(table, whole_first, strcmp(whole_first, whole_then) == 0 ? "-" : whole_then);
  struct outcome was;
  if (whole == NULL || !failures_play(first, then, &was))
    return true;
  return strcmp(whole->cell[LEADS], was.leads) != 0 || strcmp(whole->cell[RECORD], was.record) != 0 ||
         strcmp(whole->cell[SERVES], was.serves) != 0 || strcmp(whole->cell[REIGNS], was.reigns) != 0 ||
         (strcmp(whole->cell[THEN], "-") != 0 && strcmp(whole->cell[AT_ONCE], was.at_once) != 0) ||
         strcmp(whole->cell[HEALED], was.healed) != 0;
}

static bool is_due(const struct table *table, const char *first, const char *then) {
  bool single = strcmp(then, "-") == 0;
  if (find(table, first, then) != NULL || (!single && !failures_differ(first, then)))
    return false;
  bool one_way = failure_one_way(first) || (!single && failure_one_way(then));
  return !one_way || says_more(table, first, then);
}

/* How many are missing; they are added to the table. */
static unsigned add_missing(struct table *table, const char *first, const char *then) {
  if (!is_due(table, first, then) || table->count == ROWS_MAX)
    return 0;
  if (!table->rewriting)
    printf("%s: the row \"%s, then %s\" is missing: add it with REWRITE=1 and say why it ends so\n",
           table->file, first, then);
  struct row *row = &table->row[table->count++];
  row->is_row = true;
  snprintf(row->cell[FIRST], CELL_MAX, "%s", first);
  snprintf(row->cell[THEN], CELL_MAX, "%s", then);
  snprintf(row->cell[WHY], CELL_MAX, "?");
  if (table->rewriting)
    play_row(table, table->count - 1);
  return 1;
}

/* First those with nothing one-way, which the others are measured by. */
static unsigned add_all_missing(struct table *table) {
  unsigned missing = 0;
  for (unsigned one_way = 0; one_way < 2; one_way++)
    for (size_t i = 0; failure_name(i) != NULL; i++) {
      const char *first = failure_name(i);
      if (failure_one_way(first) == (one_way == 1))
        missing += add_missing(table, first, "-");
      for (size_t j = 0; failure_name(j) != NULL; j++) {
        bool any = failure_one_way(first) || failure_one_way(failure_name(j));
        if (any == (one_way == 1))
          missing += add_missing(table, first, failure_name(j));
      }
    }
  return missing;
}

// ---- writing ----

static size_t letters(const char *text) {
  size_t count = 0;
  for (; *text != 0; text++)
    count += (*text & 0xc0) != 0x80; /* of UTF-8 the first byte of each */
  return count;
}

static void write_row(FILE *out, const struct row *row, const size_t width[COLUMNS]) {
  if (!row->is_row && !row->is_head) {
    fprintf(out, "%s\n", row->text);
    return;
  }
  for (unsigned c = 0; c < WHY; c++)
    fprintf(out, "| %s%*s ", row->cell[c], (int)(width[c] - letters(row->cell[c])), "");
  fprintf(out, "| %s |\n", row->cell[WHY]);
}

static void write_table(const struct table *table) {
  size_t width[COLUMNS];
  for (unsigned c = 0; c < COLUMNS; c++)
    width[c] = letters(heads[c]);
  for (size_t i = 0; i < table->count; i++)
    for (unsigned c = 0; c < COLUMNS && table->row[i].is_row; c++)
      width[c] = letters(table->row[i].cell[c]) > width[c] ? letters(table->row[i].cell[c]) : width[c];
  FILE *out = open_or_die(table->file, "w");
  for (size_t i = 0; i < table->count; i++)
    write_row(out, &table->row[i], width);
  if (fclose(out) != 0) {
    perror(table->file);
    exit(2);
  }
}

void table_play(const char *file, bool rewriting, unsigned *passed, unsigned *failed) {
  struct table *table = calloc(1, sizeof *table);
  if (table == NULL)
    abort();
  table->file = file;
  table->rewriting = rewriting;
  read_table(table);
  unsigned good = 0, bad = 0;
  for (size_t i = 0; i < table->count; i++)
    if (table->row[i].is_row)
      *(play_row(table, i) ? &good : &bad) += 1;
  bad += add_all_missing(table);
  if (rewriting)
    write_table(table);
  printf("%-6s %s: %u rows\n", bad == 0 ? "ok" : "FAILED", file, good + bad);
  *passed += good;
  *failed += bad;
  free(table);
}
