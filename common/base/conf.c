// SPDX-License-Identifier: Apache-2.0
// The only file that knows libconfig.
#include "common/base/conf.h"

#include <assert.h>
#include <errno.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1023 // of one text in an array or a map

struct conf {
  const struct conf_table *table;
  const char *file;
  struct conf_errors *errors;
  config_t lib;
  // As large as the file: a text is no longer than what stood between its quotes, whose room serves for the
  // end mark.
  char *texts;
  size_t texts_size, texts_used;
};

// A group of the file beside the keys it may hold.
struct place {
  const config_setting_t *group; // NULL: the file does not have it, all is default
  const char *pattern, *path;    // "nodes[]", "nodes[1]"
  unsigned line;
  void *object;
};

// ---- errors ----

static void complain(struct conf *, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void complain(struct conf *conf, unsigned line, const char *format, ...) {
  char text[CONF_ERROR_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  conf_add_error(conf->errors, conf->file, line, text);
}

static unsigned line_of(const config_setting_t *s) {
  return s->line ? s->line : 1; // the root has none
}

// The value as the file has it, for an error.
static void show(const config_setting_t *s, char *buf, size_t size) {
  switch (s->type) {
  case CONFIG_TYPE_INT:
  case CONFIG_TYPE_INT64:
    snprintf(buf, size, "%lld", config_setting_get_int64(s));
    break;
  case CONFIG_TYPE_FLOAT:
    snprintf(buf, size, "%g", config_setting_get_float(s));
    break;
  case CONFIG_TYPE_STRING:
    snprintf(buf, size, "\"%.80s%s\"", s->value.sval, strlen(s->value.sval) > 80 ? "…" : "");
    for (char *c = buf; *c; c++)
      *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    break;
  case CONFIG_TYPE_BOOL:
    snprintf(buf, size, "%s", config_setting_get_bool(s) ? "true" : "false");
    break;
  case CONFIG_TYPE_GROUP:
    snprintf(buf, size, "a group { }");
    break;
  case CONFIG_TYPE_ARRAY:
  case CONFIG_TYPE_LIST:
    snprintf(buf, size, "a list of %d", config_setting_length(s));
    break;
  default:
    snprintf(buf, size, "something else");
  }
}

static void misfit(struct conf *conf, const struct conf_key *key, const char *path,
                   const config_setting_t *s) {
  char value[128], allowed[CONF_ERROR_MAX / 2];
  show(s, value, sizeof value);
  complain(conf, line_of(s), "\"%s\" is %s; allowed: %s", path, value,
           conf_allowed(key, allowed, sizeof allowed));
}

// ---- values ----

static const char *keep(struct conf *conf, const char *text) {
  size_t n = strlen(text) + 1;
  assert(n <= conf->texts_size - conf->texts_used);
  char *copy = memcpy(conf->texts + conf->texts_used, text, n);
  conf->texts_used += n;
  return copy;
}

static bool text_fits(const struct conf_key *key, const config_setting_t *s, size_t min, size_t max) {
  if (s->type != CONFIG_TYPE_STRING)
    return false;
  const char *text = s->value.sval;
  size_t n = strlen(text);
  // A control character would garble a log line or a broker's protocol.
  for (const char *c = text; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f)
      return false;
  return n >= min && n <= max && (!key->fits || n == 0 || key->fits(text));
}

static bool is_whole(const config_setting_t *s) {
  return s->type == CONFIG_TYPE_INT || s->type == CONFIG_TYPE_INT64;
}

static bool whole_fits(const struct conf_key *key, const config_setting_t *s, int64_t *value) {
  if (!is_whole(s))
    return false;
  *value = config_setting_get_int64(s);
  return *value >= (int64_t)key->min && *value <= (int64_t)key->max;
}

static bool store_number(const struct conf_key *key, const config_setting_t *s, void *to) {
  int64_t value;
  if (!whole_fits(key, s, &value))
    return false;
  if (key->type == CONF_U64)
    *(uint64_t *)to = (uint64_t)value;
  else
    *(uint32_t *)to = (uint32_t)value;
  return true;
}

// A whole number is good where a real one is asked for: 1 for 1.0.
static bool store_real(const struct conf_key *key, const config_setting_t *s, double *to) {
  if (!is_whole(s) && s->type != CONFIG_TYPE_FLOAT)
    return false;
  double value = is_whole(s) ? (double)config_setting_get_int64(s) : config_setting_get_float(s);
  *to = value;
  return value >= key->min && value <= key->max;
}

static bool store_word(const struct conf_key *key, const config_setting_t *s, int *to) {
  *to = s->type == CONFIG_TYPE_STRING ? conf_word_index(key->words, s->value.sval) : CONF_UNSET;
  return *to >= 0;
}

static bool store_word_or_number(const struct conf_key *key, const config_setting_t *s, int64_t *to) {
  int word;
  if (!store_word(key, s, &word))
    return whole_fits(key, s, to);
  *to = -1 - word;
  return true;
}

static bool is_sequence(const config_setting_t *s) {
  return s->type == CONFIG_TYPE_ARRAY || s->type == CONFIG_TYPE_LIST;
}

static const char *join(char *buf, const char *path, const char *name) {
  snprintf(buf, CONF_PATH_MAX, "%.80s%s%.60s", path, *path ? "." : "", name);
  return buf;
}

static void item_path(char *buf, const char *path, int index) {
  snprintf(buf, CONF_PATH_MAX, "%.80s[%d]", path, index);
}

// Each wrong item is told by itself, at its own line; the whole is only wrong by its kind or its count.
static bool store_texts(struct conf *conf, const struct conf_key *key, const char *path,
                        const config_setting_t *s, struct conf_texts *to) {
  int n = is_sequence(s) ? config_setting_length(s) : -1;
  if (n < (int)key->min || n > (int)key->max)
    return false;
  for (int i = 0; i < n; i++) {
    const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
    char at[CONF_PATH_MAX];
    item_path(at, path, i);
    if (text_fits(key, item, 1, TEXT_MAX))
      to->at[to->count++] = keep(conf, item->value.sval);
    else
      misfit(conf, key, at, item);
  }
  return true;
}

static bool store_numbers(struct conf *conf, const struct conf_key *key, const char *path,
                          const config_setting_t *s, struct conf_numbers *to) {
  int n = is_sequence(s) ? config_setting_length(s) : -1;
  if (n < 0 || n > CONF_ITEMS_MAX)
    return false;
  for (int i = 0; i < n; i++) {
    const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
    char at[CONF_PATH_MAX];
    int64_t value;
    item_path(at, path, i);
    if (whole_fits(key, item, &value))
      to->at[to->count++] = (uint32_t)value;
    else
      misfit(conf, key, at, item);
  }
  return true;
}

static bool store_map(struct conf *conf, const struct conf_key *key, const char *path,
                      const config_setting_t *s, struct conf_map *to) {
  if (s->type != CONFIG_TYPE_GROUP || config_setting_length(s) > (int)key->max)
    return false;
  for (int i = 0; i < config_setting_length(s); i++) {
    const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
    char at[CONF_PATH_MAX];
    join(at, path, item->name);
    if (!text_fits(key, item, 1, TEXT_MAX)) {
      misfit(conf, key, at, item);
      continue;
    }
    to->at[to->count].key = keep(conf, item->name);
    to->at[to->count++].value = keep(conf, item->value.sval);
  }
  return true;
}

static bool store_one(struct conf *conf, const struct conf_key *key, const config_setting_t *s, void *to) {
  switch (key->type) {
  case CONF_TEXT:
    if (!text_fits(key, s, (size_t)key->min, (size_t)key->max))
      return false;
    *(const char **)to = keep(conf, s->value.sval);
    return true;
  case CONF_WORD:
    return store_word(key, s, to);
  case CONF_U32:
  case CONF_U64:
    return store_number(key, s, to);
  case CONF_REAL:
    return store_real(key, s, to);
  case CONF_BOOL:
    *(bool *)to = s->type == CONFIG_TYPE_BOOL && config_setting_get_bool(s);
    return s->type == CONFIG_TYPE_BOOL;
  case CONF_WORD_OR_U32:
    return store_word_or_number(key, s, to);
  case CONF_GROUP:
  case CONF_LIST:
  case CONF_TEXTS:
  case CONF_NUMBERS:
  case CONF_MAP:
    break;
  }
  assert(false && "a key that holds several values is not stored as one");
  return false;
}

// ---- what is not built yet ----

// A fence device must never be ignored in silence: what this version cannot do is an error, not a wish.
static bool is_for_later(const struct conf_key *key, const config_setting_t *s, const void *value) {
  if (!key->later)
    return false;
  if (strcmp(key->later, "*") != 0)
    return s->type == CONFIG_TYPE_STRING && conf_word_index(key->later, s->value.sval) >= 0;
  return key->type == CONF_LIST ? config_setting_length(s) > 0 : conf_differs(key, value);
}

static void refuse_later(struct conf *conf, const struct conf_key *key, const char *path,
                         const config_setting_t *s) {
  char value[128], allowed[CONF_ERROR_MAX / 2];
  show(s, value, sizeof value);
  complain(conf, line_of(s), "\"%s\" is %s, which this version cannot do yet; allowed: %s", path, value,
           conf_allowed(key, allowed, sizeof allowed));
}

// ---- groups ----

static void read_group(struct conf *, const struct place *);

static void read_list(struct conf *conf, const struct conf_key *key, const struct place *p,
                      const config_setting_t *s) {
  char pattern[CONF_PATH_MAX], path[CONF_PATH_MAX];
  int n = s ? config_setting_length(s) : 0;
  if (s && (!is_sequence(s) || n < (int)key->min || n > (int)key->max)) {
    misfit(conf, key, key->path, s);
    return;
  }
  snprintf(pattern, sizeof pattern, "%s[]", key->path);
  for (int i = 0; i < n; i++) {
    const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
    item_path(path, key->path, i);
    if (item->type == CONFIG_TYPE_GROUP)
      read_group(conf, &(struct place){item, pattern, path, line_of(item),
                                       (char *)p->object + key->at + (size_t)i * key->stride});
    else
      complain(conf, line_of(item), "\"%s\" is not a group; allowed: { … }", path);
  }
  *(size_t *)((char *)p->object + key->count_at) = (size_t)n;
}

static void read_several(struct conf *conf, const struct conf_key *key, const char *path,
                         const config_setting_t *s, void *to) {
  bool good = key->type == CONF_TEXTS     ? store_texts(conf, key, path, s, to)
              : key->type == CONF_NUMBERS ? store_numbers(conf, key, path, s, to)
                                          : store_map(conf, key, path, s, to);
  if (!good)
    misfit(conf, key, path, s);
  else if (is_for_later(key, s, to))
    refuse_later(conf, key, path, s);
}

static void read_value(struct conf *conf, const struct conf_key *key, const char *path,
                       const config_setting_t *s, void *to) {
  if (key->type == CONF_TEXTS || key->type == CONF_NUMBERS || key->type == CONF_MAP)
    read_several(conf, key, path, s, to);
  else if (!store_one(conf, key, s, to))
    misfit(conf, key, path, s);
  else if (is_for_later(key, s, to))
    refuse_later(conf, key, path, s);
}

static void read_key(struct conf *conf, const struct conf_key *key, const char *name, const struct place *p) {
  char path[CONF_PATH_MAX], allowed[CONF_ERROR_MAX / 2];
  const config_setting_t *s = p->group ? config_setting_get_member(p->group, name) : NULL;
  join(path, p->path, name);
  if (!s && !key->fallback)
    complain(conf, p->line, "\"%s\" is missing; allowed: %s", path,
             conf_allowed(key, allowed, sizeof allowed));
  else if (key->type == CONF_GROUP && s && s->type != CONFIG_TYPE_GROUP)
    misfit(conf, key, path, s);
  else if (key->type == CONF_GROUP)
    read_group(conf, &(struct place){s, key->path, path, s ? line_of(s) : p->line, p->object});
  else if (key->type == CONF_LIST) {
    read_list(conf, key, p, s);
    if (s && is_for_later(key, s, NULL))
      refuse_later(conf, key, path, s);
  } else if (s)
    read_value(conf, key, path, s, (char *)p->object + key->at);
  else
    conf_store_default(key, (char *)p->object + key->at);
}

static void refuse_unknown(struct conf *conf, const struct place *p) {
  for (int i = 0; i < config_setting_length(p->group); i++) {
    const config_setting_t *s = config_setting_get_elem(p->group, (unsigned)i);
    if (conf_is_known(conf->table, p->pattern, s->name))
      continue;
    char path[CONF_PATH_MAX], names[CONF_ERROR_MAX / 2];
    conf_list_names(conf->table, p->pattern, names, sizeof names);
    complain(conf, line_of(s), "unknown key \"%s\"; allowed here: %s", join(path, p->path, s->name), names);
  }
}

static void read_group(struct conf *conf, const struct place *p) {
  if (p->group)
    refuse_unknown(conf, p);
  for (size_t i = 0; i < conf->table->count; i++) {
    const struct conf_key *key = &conf->table->at[i];
    const char *name = conf_name_in(key, p->pattern);
    if (name)
      read_key(conf, key, name, p);
  }
}

// ---- the file ----

// Read by hand: libconfig ends the process on a directory, and would follow @include.
static int slurp(const char *file, char *text, size_t *length) {
  FILE *f = fopen(file, "re");
  if (!f)
    return -errno;
  errno = 0;
  *length = fread(text, 1, CONF_FILE_MAX + 1, f);
  int result = ferror(f) ? -errno : *length > CONF_FILE_MAX ? -EFBIG : 0;
  fclose(f);
  return result;
}

static const char *parse_error(const config_t *lib) {
  const char *text = config_error_text(lib);
  if (text && strcmp(text, "duplicate setting name") == 0)
    return "this key is given twice; allowed: once";
  if (text && strcmp(text, "mismatched element type in array") == 0)
    return "one of [ … ] is of another kind than the first; allowed: all texts, or all numbers";
  return "syntax error, here or before; allowed: key = value; with texts in \"…\", groups in { … }, "
         "lists in ( … ) or [ … ]";
}

static int parse(struct conf *conf, const char *text, size_t length, void *object) {
  char why[CONF_ERROR_MAX];
  unsigned line;
  if (!conf_scan(text, length, &line, why, sizeof why))
    complain(conf, line, "%s", why);
  else if (!config_read_string(&conf->lib, text))
    complain(conf, config_error_line(&conf->lib) > 0 ? (unsigned)config_error_line(&conf->lib) : 1, "%s",
             parse_error(&conf->lib));
  else
    read_group(conf, &(struct place){config_root_setting(&conf->lib), "", "", 1, object});
  return conf->errors->count ? -EINVAL : 0;
}

static int load(struct conf *conf, void *object) {
  char *text = calloc(1, CONF_FILE_MAX + 2);
  size_t length = 0;
  if (!text)
    return -ENOMEM;
  int result = slurp(conf->file, text, &length);
  if (result == -EFBIG)
    complain(conf, 1, "the file is too long; allowed: up to %d bytes", CONF_FILE_MAX);
  else if (result < 0)
    complain(conf, 1, "cannot be read: %s; allowed: a file that this user may read", strerror(-result));
  else if (!(conf->texts = malloc(length + 1)))
    result = -ENOMEM;
  else {
    conf->texts_size = length + 1;
    result = parse(conf, text, length, object);
  }
  free(text);
  return result;
}

int conf_read(struct conf **out, const struct conf_table *table, const char *file, void *object,
              struct conf_errors *errors) {
  struct conf *conf = calloc(1, sizeof *conf);
  *out = conf;
  *errors = (struct conf_errors){0};
  if (!conf)
    return -ENOMEM;
  conf->table = table;
  conf->file = file;
  conf->errors = errors;
  config_init(&conf->lib);
  memset(object, 0, table->size);
  return load(conf, object);
}

// ---- for checks across keys ----

static const config_setting_t *member(const config_setting_t *s, const char *name, size_t length) {
  for (int i = 0; s->type == CONFIG_TYPE_GROUP && i < config_setting_length(s); i++) {
    const config_setting_t *m = config_setting_get_elem(s, (unsigned)i);
    if (strlen(m->name) == length && memcmp(m->name, name, length) == 0)
      return m;
  }
  return NULL;
}

static unsigned path_line(const struct conf *conf, const char *path) {
  const config_setting_t *s = config_root_setting(&conf->lib), *next = s;
  while (*path && next) {
    char *end = NULL;
    size_t n = strcspn(path, ".[");
    if (*path == '[')
      next = is_sequence(s) ? config_setting_get_elem(s, (unsigned)strtoul(path + 1, &end, 10)) : NULL;
    else
      next = member(s, path, n);
    path = end ? end + strspn(end, "].") : path + n + (path[n] == '.');
    s = next ? next : s;
  }
  return line_of(s);
}

void conf_error(struct conf *conf, const char *path, const char *format, ...) {
  char text[CONF_ERROR_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  conf_add_error(conf->errors, conf->file, path_line(conf, path), text);
}

char *conf_keep_texts(struct conf *conf) {
  char *texts = conf->texts;
  conf->texts = NULL;
  return texts;
}

void conf_close(struct conf *conf) {
  if (!conf)
    return;
  config_destroy(&conf->lib);
  free(conf->texts);
  free(conf);
}
