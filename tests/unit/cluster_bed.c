// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cluster_bed.h"

static char directory[] = "/tmp/test_cluster.XXXXXX";
int root;
struct cluster_conf conf;
struct conf_errors errors;

int setup(void **state) {
  (void)state;
  root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return root >= 0 && mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

int teardown(void **state) {
  (void)state;
  unlink("t.conf");
  int result = fchdir(root) == 0 ? rmdir(directory) : -1;
  close(root);
  return result;
}

int load(const char *text) {
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
  cluster_free(&conf);
  return cluster_load(&conf, "t.conf", &errors);
}

void accepts(const char *text) {
  if (load(text) != 0)
    fail_msg("%s", errors.at[0].text);
}

void refuses(const char *text, const char *error) {
  assert_int_equal(load(text), -EINVAL);
  assert_string_equal(errors.at[0].text, error);
  assert_int_equal(errors.count, 1);
}

char *source_file(const char *path, size_t *size) {
  int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
  char *text = calloc(1, CONF_FILE_MAX);
  assert_true(fd >= 0);
  assert_non_null(text);
  ssize_t n = read(fd, text, CONF_FILE_MAX - 1);
  assert_true(n > 0);
  close(fd);
  *size = (size_t)n;
  return text;
}
