// SPDX-License-Identifier: Apache-2.0
// The table as documentation, and an object as canonical text.
#include "common/base/conf.h"

#include <errno.h>
#include <string.h>

#define WIDTH 110

// ---- the defaults as a configuration ----

static void indent(FILE *f, int depth, const char *mark) {
  fprintf(f, "%*s%s", 2 * depth, "", mark);
}

// A paragraph, wrapped at words, each line behind "# ".
static void print_comment(FILE *f, int depth, const char *text) {
  int column = 0;
  for (const char *w = text; *w;) {
    int n = (int)strcspn(w, " \n");
    bool fits = column > 0 && column + 1 + n <= WIDTH;
    if (!fits) {
      fputs(column ? "\n" : "", f);
      indent(f, depth, "# ");
      column = 2 * depth + 2;
    } else {
      fputc(' ', f);
      column++;
    }
    fprintf(f, "%.*s", n, w);
    column += n;
    w += n;
    column = *w == '\n' ? 0 : column;
    if (*w == '\n' && w[1])
      fputc('\n', f);
    w += *w != '\0';
  }
  fputc('\n', f);
}

static bool is_quoted(const struct conf_key *key) {
  return key->type == CONF_TEXT || key->type == CONF_WORD || key->type == CONF_WORD_OR_U32;
}

// The default as the file would write it.
static void print_value(FILE *f, const struct conf_key *key) {
  if (key->type == CONF_TEXTS || key->type == CONF_NUMBERS)
    fputs("[ ]", f);
  else if (key->type == CONF_LIST)
    fputs("( )", f);
  else if (key->type == CONF_MAP)
    fputs("{ }", f);
  else
    fprintf(f, is_quoted(key) ? "\"%s\"" : "%s", key->fallback);
}

// "Allowed: a whole number from 50 to 60000. Default: 1000."
static void describe(const struct conf_key *key, char *buf, size_t size) {
  char allowed[512], words[192], later[256] = "";
  conf_allowed(key, allowed, sizeof allowed);
  if (key->later && strcmp(key->later, "*") == 0)
    snprintf(later, sizeof later, " Not built yet: only the default is accepted.");
  else if (key->later)
    snprintf(later, sizeof later, " Not built yet: %s.", conf_quote_words(key->later, words, sizeof words));
  snprintf(buf, size, "%s Allowed: %s.%s%s%s%s", key->help, allowed, later,
           key->otherwise   ? " Default: "
           : !key->fallback ? " Must be given"
                            : "",
           key->otherwise ? key->otherwise : "", key->otherwise || !key->fallback ? "." : "");
}

static void print_group(FILE *, const struct conf_table *, const char *pattern, int depth);

// Where an example stands for a list or group, the comment before it tells its keys.
static void print_elements(FILE *f, const struct conf_table *t, const char *pattern, int depth) {
  for (size_t i = 0; i < t->count; i++) {
    const struct conf_key *key = &t->at[i];
    const char *name = conf_name_in(key, pattern);
    char text[1024], line[1280];
    if (!name)
      continue;
    bool constant = key->fallback && !key->otherwise;
    describe(key, text, sizeof text);
    snprintf(line, sizeof line, "- %s: %s%s%s%s", name, text, constant ? " Default: " : "",
             !constant        ? ""
             : *key->fallback ? key->fallback
                              : "empty",
             constant ? "." : "");
    print_comment(f, depth, line);
  }
}

// Every line of an example, live or as a comment.
static void print_example(FILE *f, int depth, const char *name, const char *text, bool live) {
  indent(f, depth, live ? "" : "# ");
  fprintf(f, "%s = ", name);
  for (; *text; text++) {
    fputc(*text, f);
    if (*text == '\n' && !live)
      indent(f, depth, "# ");
  }
  fputs(";\n", f);
}

static void print_keys_of(FILE *f, const struct conf_table *t, const struct conf_key *key, int depth) {
  char pattern[CONF_PATH_MAX];
  if (key->type != CONF_LIST && !(key->type == CONF_GROUP && key->example))
    return;
  snprintf(pattern, sizeof pattern, "%s%s", key->path, key->type == CONF_LIST ? "[]" : "");
  print_elements(f, t, pattern, depth);
}

// The default, live; a group with its keys. One that derives from other keys is no constant that could stand
// here.
static void print_default(FILE *f, const struct conf_table *t, const struct conf_key *key, const char *name,
                          int depth) {
  if (key->otherwise || !key->fallback)
    return;
  indent(f, depth, name);
  fputs(key->type == CONF_GROUP ? " = {\n" : " = ", f);
  if (key->type == CONF_GROUP) {
    print_group(f, t, key->path, depth + 1);
    indent(f, depth, "}");
  } else {
    print_value(f, key);
  }
  fputs(";\n", f);
}

static void print_key(FILE *f, const struct conf_table *t, const struct conf_key *key, const char *name,
                      int depth) {
  char text[1024];
  if (depth == 0)
    fputc('\n', f);
  describe(key, text, sizeof text);
  print_comment(f, depth, key->type == CONF_GROUP ? key->help : text);
  print_keys_of(f, t, key, depth);
  if (key->example)
    print_example(f, depth, name, key->example, !key->fallback);
  print_default(f, t, key, name, depth);
}

static void print_group(FILE *f, const struct conf_table *t, const char *pattern, int depth) {
  for (size_t i = 0; i < t->count; i++) {
    const char *name = conf_name_in(&t->at[i], pattern);
    if (name)
      print_key(f, t, &t->at[i], name, depth);
  }
}

int conf_print_defaults(const struct conf_table *t, FILE *f) {
  print_comment(f, 0, t->title);
  print_group(f, t, "", 0);
  return fflush(f) != 0 || ferror(f) ? -EIO : 0;
}

// ---- the manual ----

// A line that begins with a dot or a quote would be taken for a macro.
static void print_roff(FILE *f, const char *text) {
  bool fresh = true;
  for (; *text; text++) {
    if (fresh && (*text == '.' || *text == '\''))
      fputs("\\&", f);
    if (*text == '\\')
      fputs("\\e", f);
    else if (strncmp(text, "…", 3) == 0)
      fputs("\\&...", f), text += 2;
    else
      fputc(*text, f);
    fresh = *text == '\n';
  }
}

int conf_print_manual(const struct conf_table *t, FILE *f) {
  for (size_t i = 0; i < t->count; i++) {
    const struct conf_key *key = &t->at[i];
    char text[1024];
    if (key->type == CONF_GROUP)
      snprintf(text, sizeof text, "%s", key->help);
    else
      describe(key, text, sizeof text);
    fprintf(f, ".It Ic %s\n", key->path);
    print_roff(f, text);
    if (key->type != CONF_GROUP && key->type != CONF_LIST && key->fallback && !key->otherwise) {
      fputs(" Default: ", f);
      print_value(f, key);
      fputc('.', f);
    }
    fputc('\n', f);
  }
  return fflush(f) != 0 || ferror(f) ? -EIO : 0;
}
