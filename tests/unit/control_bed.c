// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/control_bed.h"

char directory[64], path[100];
struct loop *loop;
static struct loop_timer *guard;
struct control *control;
int requests;
int depth, deepest;
uint64_t held[4];
size_t held_count;

static void handle(void *arg, uint64_t connection, const struct json *request, bool may_change) {
  (void)arg;
  requests++;
  const char *command = json_get_text(request, "command", "");
  if (strcmp(command, "hold") == 0 && held_count < 4) {
    held[held_count++] = connection;
    return;
  }
  if (strcmp(command, "refuse") == 0) {
    control_refuse(control, connection, CONTROL_REFUSED, "no");
    return;
  }
  struct json *reply = json_new_object();
  json_put_bool(reply, "ok", true);
  json_put_text(reply, "command", command);
  json_put_bool(reply, "may_change", may_change);
  json_put_int(reply, "uid", control_uid(control, connection));
  if (strcmp(command, "long") == 0) {
    int64_t size = json_get_int(request, "size", 0);
    char *text = calloc(1, (size_t)size + 1);
    memset(text, 'x', (size_t)size);
    json_put_text(reply, "text", text);
    free(text);
  }
  deepest = ++depth > deepest ? depth : deepest;
  control_reply(control, connection, reply);
  depth--;
  control_reply(control, connection, reply); // a second one is ignored
  json_free(reply);
}

const struct control_handler handler = {.request = handle};

static void too_late(void *arg) {
  (void)arg;
  fail_msg("%s", "waited in vain");
}

int set_up(void **state) {
  (void)state;
  requests = 0;
  held_count = 0;
  strcpy(directory, "/tmp/test_control.XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(path, sizeof path, "%s/c.sock", directory);
  loop = loop_new();
  guard = loop_timer_new(loop, too_late, NULL);
  loop_timer_in(guard, 30000000);
  return control_listen(&control, loop, path, &handler);
}

int tear_down(void **state) {
  (void)state;
  control_close(control);
  control = NULL;
  loop_free(loop);
  unlink(path);
  return rmdir(directory);
}

int connect_client(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
  return fd;
}

void say(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

char line[CONTROL_REPLY_MAX + 1];
static size_t line_size;

static void on_readable(void *arg, bool readable, bool writable) {
  (void)readable, (void)writable;
  int fd = *(int *)arg;
  ssize_t size;
  while ((size = read(fd, line + line_size, 1)) == 1 && line[line_size] != '\n' &&
         line_size < sizeof line - 2)
    line_size++;
  if (size < 0 && errno == EAGAIN)
    return;
  line_size += size == 1;
  line[line_size] = 0;
  loop_stop(loop);
}

const char *receive(int fd) {
  line_size = 0;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  struct loop_io *io = loop_io_new(loop, fd, on_readable, &fd);
  loop_io_want(io, true, false);
  assert_int_equal(loop_run(loop), 0);
  loop_io_free(io);
  return line;
}
