// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ctl_bed.h"

#define KEY_A "3rSbUFHZFgNoULGj7P5sx4mA6kc1o8+F0fXK1Vb0yXQ="
#define KEY_B "Zk0y4wQm1v9T8hJ2sN6cR3xL7bP5dF0gK4aVtE8uYhM="
#define KEY_W "Q9fW2nXr7tBz5LpYc1VhKd8sMj3uGo6eHa0iRwTqNkE="
// ---- a directory of its own, with a configuration that lies within it ----

char directory[] = "/tmp/test_ctl.XXXXXX";
char conf_file[128];

const char *in_directory(char *buf, const char *name) {
  snprintf(buf, 128, "%s/%s", directory, name);
  return buf;
}

int setup(void **state) {
  (void)state;
  if (!mkdtemp(directory))
    return -1;
  in_directory(conf_file, "t.conf");
  FILE *f = fopen(conf_file, "w");
  fprintf(
      f,
      "cluster = \"c\";\n"
      "nodes = ( { name = \"left\"; addresses = [ \"203.0.113.1:7400\" ]; public_key = \"" KEY_A "\"; },\n"
      "{ name = \"right\"; addresses = [ \"203.0.113.2:7400\" ]; public_key = \"" KEY_B "\"; } );\n"
      "witness = { name = \"judge\"; addresses = [ \"203.0.113.3:7400\" ]; public_key = \"" KEY_W "\"; };\n"
      "timing = { lease_ms = 300; beat_ms = 30; };\n"
      "keys_directory = \"%s/keys\"; state_directory = \"%s\"; run_directory = \"%s\";\n",
      directory, directory, directory);
  return fclose(f);
}

int teardown(void **state) {
  static const char *const names[] = {"t.conf", "bad.conf", "keys/c.left.key", "keys/x.y.key", "keys"};
  char path[128];
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    remove(in_directory(path, names[i]));
  return rmdir(directory);
}

// ---- running the command ----

char *out, *err;

int run_typing(const char *typed, const char *line) {
  char words[512], *argv[32] = {"tanist"};
  int argc = 1;
  size_t out_size, err_size;
  struct ctl ctl = {.in = fmemopen((void *)(uintptr_t)typed, strlen(typed) + 1, "r")};
  free(out);
  free(err);
  ctl.out = open_memstream(&out, &out_size);
  ctl.err = open_memstream(&err, &err_size);
  snprintf(words, sizeof words, "%s", line);
  for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
    argv[argc++] = w;
  int code = ctl_main(&ctl, argc, argv);
  fclose(ctl.in);
  fclose(ctl.out);
  fclose(ctl.err);
  return code;
}

int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

int run(const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  return run_typing("", line);
}

void contains(const char *text, const char *part) {
  if (!strstr(text, part))
    fail_msg("\"%s\" is not in: %s", part, text);
}

// ---- the agent ----

static const char *canned; // the reply; NULL: the request itself as text
static struct control *control;

void answer(void *arg, uint64_t connection, const struct json *request, bool may_change) {
  struct json *reply = json_new_object();
  char *text = json_text(request);
  (void)arg;
  (void)may_change;
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "text", text);
  free(text);
  if (canned) {
    json_free(reply);
    reply = json_parse(canned, strlen(canned), NULL, 0);
  }
  control_reply(control, connection, reply);
  json_free(reply);
}

pid_t start(const char *path, const char *reply) {
  int ready[2];
  char byte;
  assert_int_equal(pipe(ready), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that fails leaves nobody behind
    const struct control_handler handler = {.request = answer};
    struct loop *loop = loop_new();
    canned = reply;
    if (!loop || control_listen(&control, loop, path, &handler) != 0 || write(ready[1], "x", 1) != 1)
      _exit(1);
    _exit(loop_run(loop) == 0 ? 0 : 1);
  }
  close(ready[1]);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return pid;
}

void stop(pid_t pid, const char *path) {
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  unlink(path);
}
