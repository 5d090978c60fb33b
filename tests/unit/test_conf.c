// SPDX-License-Identifier: Apache-2.0
// The reader with a small table of its own: each kind of value, each kind of mistake with its exact words.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/conf.h"

struct item {
  const char *name;
  uint32_t weight;
};

struct things {
  const char *text, *path;
  int word;
  uint32_t small;
  uint64_t large;
  double real;
  bool on;
  struct conf_texts texts;
  struct conf_numbers numbers;
  struct conf_map map;
  int64_t mixed;
  struct item item[3];
  size_t item_count;
};

static bool is_path(const char *text) {
  return *text == '/';
}

#define AT(member) .at = offsetof(struct things, member)

static const struct conf_key keys[] = {
    {.path = "text", .type = CONF_TEXT, .min = 1, .max = 5, AT(text), .help = "A text."},
    {.path = "path",
     .type = CONF_TEXT,
     .max = 20,
     .fits = is_path,
     .allowed = "a path",
     .fallback = "/",
     AT(path),
     .help = "A path."},
    {.path = "group", .type = CONF_GROUP, .fallback = "", .help = "A group."},
    {.path = "group.word",
     .type = CONF_WORD,
     .words = "one|two|three",
     .later = "three",
     .fallback = "two",
     AT(word),
     .help = "A word."},
    {.path = "group.small",
     .type = CONF_U32,
     .min = 1,
     .max = 4000000000.0,
     .fallback = "7",
     AT(small),
     .help = "A number."},
    {.path = "group.large",
     .type = CONF_U64,
     .max = 1e15,
     .fallback = "8",
     AT(large),
     .help = "A large number."},
    {.path = "group.real",
     .type = CONF_REAL,
     .min = 0.5,
     .max = 10,
     .fallback = "1.5",
     AT(real),
     .help = "A share."},
    {.path = "group.on", .type = CONF_BOOL, .fallback = "true", AT(on), .help = "A switch."},
    {.path = "texts", .type = CONF_TEXTS, .max = 3, .fallback = "", AT(texts), .help = "Some texts."},
    {.path = "numbers",
     .type = CONF_NUMBERS,
     .min = 1,
     .max = 9,
     .fallback = "",
     AT(numbers),
     .help = "Numbers."},
    {.path = "map", .type = CONF_MAP, .max = 2, .fallback = "", .later = "*", AT(map), .help = "A map."},
    {.path = "mixed",
     .type = CONF_WORD_OR_U32,
     .words = "any|all",
     .min = 1,
     .max = 3,
     .fallback = "all",
     AT(mixed),
     .help = "A word or number."},
    {.path = "items",
     .type = CONF_LIST,
     .max = 3,
     .fallback = "",
     AT(item),
     .count_at = offsetof(struct things, item_count),
     .stride = sizeof(struct item),
     .help = "Groups."},
    {.path = "items[].name",
     .type = CONF_TEXT,
     .min = 1,
     .max = 9,
     .at = offsetof(struct item, name),
     .help = "Its name."},
    {.path = "items[].weight",
     .type = CONF_U32,
     .min = 1,
     .max = 9,
     .fallback = "3",
     .at = offsetof(struct item, weight),
     .help = "Its weight."},
};

static const struct conf_table table = {
    .at = keys, .count = sizeof keys / sizeof *keys, .size = sizeof(struct things), .title = "Things."};

static char directory[] = "/tmp/test_conf.XXXXXX";
static struct things things;
static struct conf_errors errors;

static int setup(void **state) {
  (void)state;
  return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  unlink("t.conf");
  return chdir("/") == 0 ? rmdir(directory) : -1;
}

static int read_bytes(const char *text, size_t n) {
  struct conf *conf;
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  int result = conf_read(&conf, &table, "t.conf", &things, &errors);
  assert_int_equal(result == 0, errors.count == 0);
  if (result == 0)
    free(conf_keep_texts(conf)); // the asserts on texts use read_and_keep
  conf_close(conf);
  return result;
}

static void refuses(const char *text, const char *error) {
  assert_int_equal(read_bytes(text, strlen(text)), -EINVAL);
  assert_string_equal(errors.at[0].text, error);
}

static void accepts(const char *text) {
  if (read_bytes(text, strlen(text)) != 0)
    fail_msg("%s", errors.at[0].text);
}

static void gives_defaults(void **state) {
  (void)state;
  accepts("text = \"x\";");
  assert_string_equal(things.path, "/");
  assert_int_equal(things.word, 1);
  assert_int_equal(things.small, 7);
  assert_int_equal(things.large, 8);
  assert_true(things.real > 1.49 && things.real < 1.51);
  assert_true(things.on);
  assert_int_equal(things.texts.count + things.numbers.count + things.map.count + things.item_count, 0);
  assert_int_equal(things.mixed, -2);
}

static void reads_every_kind(void **state) {
  static const char text[] =
      "# comment\ntext = \"ab\" \"cd\"; path: \"/x\"\n"
      "group = { word = \"one\"; small = 3000000000L; large = 5000000000L; real = 2; on = FALSE; };\n"
      "texts = ( \"a\", \"b\" ); numbers = [ 1, 9 ]; map = { }; mixed = 3;\n"
      "items = ( { name = \"i\"; }, { name = \"j\"; weight = 9; } );";
  struct conf *conf;
  (void)state;
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  assert_int_equal(conf_read(&conf, &table, "t.conf", &things, &errors), 0);
  char *texts = conf_keep_texts(conf);
  conf_close(conf);
  assert_string_equal(things.text, "abcd");
  assert_string_equal(things.path, "/x");
  assert_int_equal(things.word, 0);
  assert_int_equal(things.small, 3000000000);
  assert_int_equal(things.large, 5000000000);
  assert_true(things.real > 1.99 && things.real < 2.01);
  assert_false(things.on);
  assert_int_equal(things.texts.count, 2);
  assert_string_equal(things.texts.at[1], "b");
  assert_int_equal(things.numbers.at[1], 9);
  assert_int_equal(things.mixed, 3);
  assert_int_equal(things.item_count, 2);
  assert_string_equal(things.item[1].name, "j");
  assert_int_equal(things.item[0].weight, 3);
  free(texts);
}

static void names_wrong_values(void **state) {
  (void)state;
  refuses("", "t.conf:1: \"text\" is missing; allowed: a text of 1 to 5 characters");
  refuses("\ntext = \"toolong\";", "t.conf:2: \"text\" is \"toolong\"; allowed: a text of 1 to 5 characters");
  refuses("text = \"a\\tb\";", "t.conf:1: \"text\" is \"a?b\"; allowed: a text of 1 to 5 characters");
  refuses("text = 5;", "t.conf:1: \"text\" is 5; allowed: a text of 1 to 5 characters");
  refuses("text = \"x\";\npath = \"x\";", "t.conf:2: \"path\" is \"x\"; allowed: a path");
  refuses("text = \"x\";\ngroup = {\n small = 0; };",
          "t.conf:3: \"group.small\" is 0; allowed: a whole number from 1 to 4000000000");
  refuses("text = \"x\";\ngroup = {\n small = 1.5; };",
          "t.conf:3: \"group.small\" is 1.5; allowed: a whole number from 1 to 4000000000");
  refuses("text = \"x\"; group = { real = 0.4; };",
          "t.conf:1: \"group.real\" is 0.4; allowed: a number from 0.5 to 10");
  refuses("text = \"x\"; group = { on = 1; };", "t.conf:1: \"group.on\" is 1; allowed: true, false");
  refuses("text = \"x\"; group = { word = \"four\"; };",
          "t.conf:1: \"group.word\" is \"four\"; allowed: \"one\", \"two\"");
  refuses("text = \"x\"; group = 1;", "t.conf:1: \"group\" is 1; allowed: a group { … }");
  refuses("text = \"x\"; mixed = 4;",
          "t.conf:1: \"mixed\" is 4; allowed: \"any\", \"all\", or a whole number from 1 to 3");
}

static void names_wrong_items(void **state) {
  (void)state;
  refuses("text = \"x\"; texts = [ \"a\", \"b\", \"c\", \"d\" ];",
          "t.conf:1: \"texts\" is a list of 4; allowed: [ … ] of 0 to 3 texts, each up to 1023 characters");
  refuses("text = \"x\"; texts = ( \"a\",\n 2 );",
          "t.conf:2: \"texts[1]\" is 2; allowed: [ … ] of 0 to 3 texts, each up to 1023 characters");
  refuses("text = \"x\"; numbers = [ 1, 10 ];",
          "t.conf:1: \"numbers[1]\" is 10; allowed: [ … ] of up to 16 whole numbers, each from 1 to 9");
  refuses("text = \"x\"; items = ( { name = \"a\"; },\n { } );",
          "t.conf:2: \"items[1].name\" is missing; allowed: a text of 1 to 9 characters");
  refuses("text = \"x\"; items = ( 1 );", "t.conf:1: \"items[0]\" is not a group; allowed: { … }");
  refuses("text = \"x\"; items = { };",
          "t.conf:1: \"items\" is a group { }; allowed: ( { … }, … ) of 0 to 3 groups");
  refuses("text = \"x\"; items = ( { name = \"a\";\n wieght = 1; } );",
          "t.conf:2: unknown key \"items[0].wieght\"; allowed here: name, weight");
  refuses(
      "text = \"x\";\nfoo = 1;",
      "t.conf:2: unknown key \"foo\"; allowed here: text, path, group, texts, numbers, map, mixed, items");
}

static void refuses_what_is_not_built(void **state) {
  (void)state;
  refuses(
      "text = \"x\"; group = { word = \"three\"; };",
      "t.conf:1: \"group.word\" is \"three\", which this version cannot do yet; allowed: \"one\", \"two\"");
  refuses("text = \"x\";\nmap = { a = \"1\"; };", "t.conf:2: \"map\" is a group { }, which this version "
                                                  "cannot do yet; allowed: { NAME = \"…\"; } with up to 2 "
                                                  "names, each value a text");
}

static void refuses_bad_syntax(void **state) {
  (void)state;
  refuses("text = \"x\";\n=",
          "t.conf:2: syntax error, here or before; allowed: key = value; with texts in \"…\", groups "
          "in { … }, lists in ( … ) or [ … ]");
  refuses("text = \"x\";\n\ntext = \"y\";", "t.conf:3: this key is given twice; allowed: once");
  refuses("text = \"x\";\ntexts = [ \"a\", 1 ];",
          "t.conf:2: one of [ … ] is of another kind than the first; allowed: all texts, or all numbers");
}

// Each of these would pass, or do worse, in libconfig 1.5.
static void refuses_what_libconfig_lets_pass(void **state) {
  static const char zero[] = "text = \"x\";\n\0group = 1;";
  (void)state;
  refuses("text = \"x\";\npath = \"/\n", "t.conf:2: a text begins here and does not end; allowed: \"…\"");
  refuses("text = \"x\";\n/* \npath = \"x\";",
          "t.conf:2: a comment begins here and does not end; allowed: /* … */");
  refuses("text = \"x\";\n  @include \"/etc/passwd\"\n",
          "t.conf:2: @include is not allowed: the configuration is one file, the same on all three machines");
  refuses("text = \"x\";\ngroup = { small = 4294967396; };",
          "t.conf:2: the number 4294967396 is too large; allowed: up to 2147483647, or up to 18 digits and "
          "an L, as in "
          "5000000000L");
  refuses("text = \"x\"; group = { large = 99999999999999999999L; };",
          "t.conf:1: the number 99999999999999999999L is too large; allowed: up to 2147483647, or up to 18 "
          "digits and an "
          "L, as in 5000000000L");
  refuses("text = \"x\"; group = { small = 0x1FFFFFFFF; };",
          "t.conf:1: the number 0x1FFFFFFFF is too large; allowed: up to 2147483647, or up to 18 digits and "
          "an L, as in "
          "5000000000L");
  assert_int_equal(read_bytes(zero, sizeof zero - 1), -EINVAL);
  assert_string_equal(errors.at[0].text, "t.conf:2: a zero byte stands here; allowed: text");
  accepts("text = \"x\"; # \" /* @include\n// \" /*\npath = \"/\\\" /* 9999999999\"; /* \" */\n");
}

static void survives_depth(void **state) {
  static char deep[100001] = "a=";
  (void)state;
  memset(deep + 2, '(', sizeof deep - 3);
  assert_int_equal(read_bytes(deep, sizeof deep - 1), -EINVAL);
}

static void refuses_unreadable(void **state) {
  struct conf *conf;
  (void)state;
  assert_int_equal(conf_read(&conf, &table, "none.conf", &things, &errors), -ENOENT);
  assert_string_equal(errors.at[0].text,
                      "none.conf:1: cannot be read: No such file or directory; allowed: a file that "
                      "this user may read");
  conf_close(conf);
  assert_int_equal(conf_read(&conf, &table, ".", &things, &errors), -EISDIR);
  conf_close(conf);
  char *large = malloc(CONF_FILE_MAX + 1);
  assert_non_null(large);
  memset(large, '\n', CONF_FILE_MAX + 1);
  assert_int_equal(read_bytes(large, CONF_FILE_MAX + 1), -EFBIG);
  assert_string_equal(errors.at[0].text, "t.conf:1: the file is too long; allowed: up to 262144 bytes");
  free(large);
}

static void orders_and_limits_errors(void **state) {
  char text[1024] = "";
  (void)state;
  for (int i = 0; i < CONF_ERRORS_MAX + 4; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "u%d = 1;\n", i);
  assert_int_equal(read_bytes(text, strlen(text)), -EINVAL);
  assert_int_equal(errors.count, CONF_ERRORS_MAX);
  assert_int_equal(errors.more, 5); // `text` is missing, too
  refuses("path = \"x\";\nfoo = 1;\n", "t.conf:1: \"text\" is missing; allowed: a text of 1 to 5 characters");
  assert_int_equal(errors.count, 3);
  assert_int_equal(errors.at[1].line, 1);
  assert_int_equal(errors.at[2].line, 2);
}

static void finds_lines_of_paths(void **state) {
  static const char text[] =
      "text = \"x\";\nitems = ( { name = \"a\"; },\n{\nname = \"b\"; }\n);\nnumbers = [ 1 ];";
  struct conf *conf;
  (void)state;
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  assert_int_equal(conf_read(&conf, &table, "t.conf", &things, &errors), 0);
  conf_error(conf, "items[1].name", "one");
  conf_error(conf, "items[1].weight", "%s", "two"); // not in the file: its group's line
  conf_error(conf, "group.word", "three");          // nor its group: line 1
  conf_error(conf, "numbers[7]", "four");
  conf_close(conf);
  assert_string_equal(errors.at[0].text, "t.conf:1: three");
  assert_string_equal(errors.at[1].text, "t.conf:3: two");
  assert_string_equal(errors.at[2].text, "t.conf:4: one");
  assert_string_equal(errors.at[3].text, "t.conf:6: four");
}

static void canonical_is_one_text(void **state) {
  char one[1024], two[1024];
  struct conf *conf;
  (void)state;
  accepts("text = \"x\"; mixed = \"all\"; numbers = [ 1, 2 ];");
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs("numbers = ( 1, 2 );\n text: \"x\"; group = { real = 1.50; };", f);
  fclose(f);
  assert_int_equal(conf_read(&conf, &table, "t.conf", &things, &errors), 0);
  size_t n = conf_canonical(&table, &things, one, sizeof one);
  assert_int_equal(n, strlen(one));
  assert_string_equal(
      one, "text 1:x\npath 1:/\ngroup.word 3:two\ngroup.small 7\ngroup.large 8\ngroup.real 1.500000\n"
           "group.on 1\ntexts\nnumbers 1 2\nmap\nmixed -2\nitems 0\n");
  assert_int_equal(conf_canonical(&table, &things, two, 10), n); // as snprintf: cut, and the length told
  assert_string_equal(two, "text 1:x\n");
  conf_close(conf);
}

static void keys_that_need_a_restart_are_named(void **state) {
  static struct things before;
  char named[128];
  struct conf *conf;
  (void)state;
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs("text = \"x\"; group = { small = 1; }; items = ( { name = \"a\"; } );", f);
  fclose(f);
  assert_int_equal(conf_read(&conf, &table, "t.conf", &things, &errors), 0);
  before = things;
  assert_int_equal(conf_restart_keys(&table, &before, &things, named, sizeof named), 0);
  assert_string_equal(named, "");
  things.small = 2;
  things.on = !things.on;
  assert_int_equal(conf_restart_keys(&table, &before, &things, named, sizeof named), 2);
  assert_string_equal(named, "group.small, group.on");
  things = before;
  things.item[0].name = "b";
  assert_int_equal(conf_restart_keys(&table, &before, &things, named, sizeof named), 1);
  assert_string_equal(named, "items[].name");
  things.item_count = 0;
  assert_int_equal(conf_restart_keys(&table, &before, &things, named, sizeof named), 1);
  assert_string_equal(named, "items");
  static struct conf_key some[64];
  assert_true(table.count <= 64);
  memcpy(some, table.at, table.count * sizeof some[0]);
  for (size_t i = 0; i < table.count; i++) /* its elements go with it */
    some[i].reload = strcmp(some[i].path, "items") == 0;
  struct conf_table marked = table;
  marked.at = some;
  assert_int_equal(conf_restart_keys(&marked, &before, &things, named, sizeof named), 0);
  conf_close(conf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gives_defaults),
      cmocka_unit_test(reads_every_kind),
      cmocka_unit_test(names_wrong_values),
      cmocka_unit_test(names_wrong_items),
      cmocka_unit_test(refuses_what_is_not_built),
      cmocka_unit_test(refuses_bad_syntax),
      cmocka_unit_test(refuses_what_libconfig_lets_pass),
      cmocka_unit_test(survives_depth),
      cmocka_unit_test(refuses_unreadable),
      cmocka_unit_test(orders_and_limits_errors),
      cmocka_unit_test(finds_lines_of_paths),
      cmocka_unit_test(canonical_is_one_text),
      cmocka_unit_test(keys_that_need_a_restart_are_named),
  };
  return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
