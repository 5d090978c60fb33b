// SPDX-License-Identifier: Apache-2.0
// runner [--rewrite] FILE... : plays dialogues and compares what happens with what stands below each command.
//
// A file is read from above: lines with '#' and empty ones are for people; lines up to `----` are commands;
// the lines below it, up to an empty one, are the trace that is expected. With --rewrite the trace takes
// their place. A file whose first line is a row of a table is one: table.h.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/table.h"
#include "tests/scenario/world.h"

#define LINE_MAX_BYTES 1024

struct play {
  const char *name;
  struct world *world;
  FILE *in;
  char *played; // the whole file as it would be with what happened now
  size_t played_size;
  FILE *out;
  unsigned line, differences;
};

static bool read_line(struct play *play, char line[LINE_MAX_BYTES]) {
  if (fgets(line, LINE_MAX_BYTES, play->in) == NULL)
    return false;
  line[strcspn(line, "\n")] = 0;
  play->line++;
  return true;
}

static bool is_remark(const char *line) {
  return line[0] == 0 || line[0] == '#';
}

/* The expected lines, up to the empty one or the end, as one text. */
static void read_expected(struct play *play, char **text, size_t *size) {
  char line[LINE_MAX_BYTES];
  FILE *expected = open_memstream(text, size);
  while (read_line(play, line) && line[0] != 0)
    fprintf(expected, "%s\n", line);
  fclose(expected);
}

static void show_lines(const char *mark, const char *text) {
  while (*text != 0) {
    size_t length = strcspn(text, "\n");
    printf("  %s %.*s\n", mark, (int)length, text);
    text += length + (text[length] == '\n');
  }
}

static void compare(struct play *play, unsigned line, const char *expected, const char *happened) {
  if (strcmp(expected, happened) == 0)
    return;
  if (play->differences++ == 0) {
    printf("%s:%u: expected\n", play->name, line);
    show_lines("-", expected);
    printf("%s:%u: but it was\n", play->name, line);
    show_lines("+", happened);
  }
}

static void run_block(struct play *play, char *commands) {
  char *expected, *happened;
  size_t expected_size, happened_size;
  unsigned line = play->line;
  read_expected(play, &expected, &expected_size);
  play->world->out = open_memstream(&happened, &happened_size);
  char *rest = NULL;
  for (char *command = strtok_r(commands, "\n", &rest); command != NULL;
       command = strtok_r(NULL, "\n", &rest))
    command_run(play->world, command);
  fclose(play->world->out);
  compare(play, line, expected, happened);
  fprintf(play->out, "----\n%s\n", happened);
  free(expected);
  free(happened);
}

static void play_lines(struct play *play) {
  char line[LINE_MAX_BYTES], commands[4 * LINE_MAX_BYTES] = "";
  while (read_line(play, line)) {
    if (strcmp(line, "----") == 0) {
      run_block(play, commands);
      commands[0] = 0;
      continue;
    }
    fprintf(play->out, "%s\n", line);
    if (!is_remark(line))
      snprintf(commands + strlen(commands), sizeof commands - strlen(commands), "%s\n", line);
  }
  if (commands[0] != 0) {
    printf("%s:%u: no ---- follows the last command\n", play->name, play->line);
    play->differences++;
  }
}

static void rewrite(const struct play *play) {
  FILE *file = fopen(play->name, "w");
  size_t size = play->played_size;
  while (size > 1 && play->played[size - 1] == '\n' && play->played[size - 2] == '\n')
    size--; /* one line end at the end is enough */
  if (file == NULL || fwrite(play->played, 1, size, file) != size || fclose(file) != 0) {
    perror(play->name);
    exit(2);
  }
}

static bool play_file(const char *name, bool rewriting) {
  struct play play = {.name = name, .in = fopen(name, "r"), .world = calloc(1, sizeof(struct world))};
  if (play.in == NULL || play.world == NULL) {
    perror(name);
    exit(2);
  }
  world_init(play.world, NULL);
  play.out = open_memstream(&play.played, &play.played_size);
  play_lines(&play);
  fclose(play.out);
  fclose(play.in);
  if (play.world->failed)
    printf("%s: a promise or a command failed: see the lines with !!!\n", name);
  bool passed = !play.world->failed && (rewriting || play.differences == 0);
  if (rewriting && play.differences > 0)
    rewrite(&play);
  free(play.played);
  free(play.world);
  return passed;
}

int main(int argc, char **argv) {
  bool rewriting = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
  unsigned passed = 0, failed = 0;
  for (int i = rewriting ? 2 : 1; i < argc; i++) {
    if (table_is(argv[i])) {
      table_play(argv[i], rewriting, &passed, &failed);
      continue;
    }
    bool good = play_file(argv[i], rewriting);
    printf("%-6s %s\n", good ? "ok" : "FAILED", argv[i]);
    passed += good;
    failed += !good;
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed > 0 || passed == 0;
}
