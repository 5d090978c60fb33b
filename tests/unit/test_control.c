// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/control_bed.h"

static void request_is_answered(void **state) {
  (void)state;
  int fd = connect_client();
  say(fd, "{\"command\":\"status\"}\n");
  assert_contains(receive(fd), "{\"ok\":true,\"command\":\"status\",\"may_change\":true,");
  say(fd, "{\"command\":\"refuse\"}\n"); // the connection goes on
  assert_string_equal(receive(fd), "{\"ok\":false,\"code\":4,\"error\":\"no\"}\n");
  close(fd);
}

static void request_may_come_in_pieces_and_several_at_once(void **state) {
  (void)state;
  int fd = connect_client();
  say(fd, "{\"command\":");
  say(fd, "\"one\"}\n{\"command\":\"two\"}\n{\"comma");
  assert_contains(receive(fd), "\"one\"");
  assert_contains(receive(fd), "\"two\"");
  say(fd, "nd\":\"three\"}\n");
  assert_contains(receive(fd), "\"three\"");
  assert_int_equal(requests, 3);
  close(fd);
}

static void thousand_requests_at_once_are_taken_in_turn(void **state) {
  (void)state;
  int fd = connect_client();
  char many[4096];
  for (size_t i = 0; i < sizeof many; i += 4)
    memcpy(many + i, "{ }\n", 4);
  assert_int_equal(write(fd, many, sizeof many), sizeof many);
  for (size_t i = 0; i < sizeof many; i += 4)
    assert_contains(receive(fd), "{\"ok\":true,");
  assert_int_equal(deepest, 1);
  close(fd);
}

static void reply_may_come_later(void **state) {
  (void)state;
  int waits = connect_client(), other = connect_client();
  say(waits, "{\"command\":\"hold\"}\n{\"command\":\"next\"}\n");
  while (held_count == 0) {
    say(other, "{\"command\":\"status\"}\n");
    assert_contains(receive(other), "status");
  }
  struct json *reply = json_new_object();
  json_put_text(reply, "late", "yes");
  control_reply(control, 99999, reply); // of nobody
  int before = requests;
  control_reply(control, held[0], reply);
  assert_int_equal(requests, before); // the next one is not looked at from within the reply
  json_free(reply);
  assert_string_equal(receive(waits), "{\"late\":\"yes\"}\n");
  assert_contains(receive(waits), "next"); // which had waited behind
  close(waits);
  close(other);
}

static void half_closed_client_gets_its_reply(void **state) {
  (void)state;
  int fd = connect_client();
  say(fd, "{\"command\":\"hold\"}\n");
  shutdown(fd, SHUT_WR);
  int other = connect_client();
  while (held_count == 0) {
    say(other, "{\"command\":\"status\"}\n");
    receive(other);
  }
  say(other, "{\"command\":\"status\"}\n"); // one more round, in which the end is seen
  receive(other);
  control_refuse(control, held[0], CONTROL_FAILED, "late");
  assert_contains(receive(fd), "late");
  assert_string_equal(receive(fd), ""); // and then it is closed
  close(fd);
  close(other);
}

static void reply_to_one_who_left_is_ignored(void **state) {
  (void)state;
  int fd = connect_client(), other = connect_client();
  say(fd, "{\"command\":\"hold\"}\n");
  while (held_count == 0) {
    say(other, "{\"command\":\"status\"}\n");
    receive(other);
  }
  close(fd);
  say(other, "{\"command\":\"status\"}\n");
  receive(other);
  say(other, "{\"command\":\"status\"}\n");
  receive(other);
  assert_int_equal(control_uid(control, held[0]), (uid_t)-1); // noticed while it waited
  control_refuse(control, held[0], CONTROL_FAILED, "late");
  say(other, "{\"command\":\"status\"}\n");
  assert_contains(receive(other), "status");
  close(other);
}

static void garbage_is_told_and_closed(void **state) {
  (void)state;
  static const char *const garbage[] = {
      "hello\n", "[1]\n", "\"text\"\n", "\n", "{\"a\":\n", "{\"command\":\"x\"} {}\n", "\xff\xfe\n"};
  for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
    int fd = connect_client();
    say(fd, garbage[i]);
    say(fd, "{\"command\":\"never\"}\n");
    assert_contains(receive(fd), "{\"ok\":false,\"code\":2,\"error\":\"");
    assert_string_equal(receive(fd), "");
    close(fd);
  }
  int fd = connect_client();
  say(fd, "{\"command\":\"status\"}");
  shutdown(fd, SHUT_WR);
  assert_contains(receive(fd), "\"code\":2");
  close(fd);
  assert_int_equal(requests, 0);
}

static void too_long_a_request_is_refused(void **state) {
  (void)state;
  char text[CONTROL_REQUEST_MAX + 1];
  memset(text, ' ', sizeof text);
  memcpy(text, "{}", 2);
  text[sizeof text - 2] = '\n'; // the longest that is allowed
  int fd = connect_client();
  assert_int_equal(write(fd, text, CONTROL_REQUEST_MAX), CONTROL_REQUEST_MAX);
  assert_contains(receive(fd), "\"ok\":true");
  memset(text, ' ', sizeof text);
  assert_int_equal(write(fd, text, sizeof text), sizeof text);
  assert_contains(receive(fd), "\"code\":2");
  assert_string_equal(receive(fd), "");
  close(fd);
}

static void too_long_a_reply_becomes_an_error(void **state) {
  (void)state;
  int fd = connect_client();
  say(fd, "{\"command\":\"long\",\"size\":60000}\n");
  assert_true(strlen(receive(fd)) > 60000);
  say(fd, "{\"command\":\"long\",\"size\":66000}\n");
  assert_contains(receive(fd), "\"code\":1,\"error\":\"the reply is too long");
  close(fd);
}

static void newest_beyond_the_limit_is_turned_away(void **state) {
  (void)state;
  int fd[CONTROL_CONNECTIONS_MAX], more[8];
  for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
    fd[i] = connect_client();
    say(fd[i], "{\"command\":\"status\"}\n");
    assert_contains(receive(fd[i]), "\"ok\":true");
  }
  for (int i = 0; i < 8; i++)
    more[i] = connect_client();
  for (int i = 0; i < 8; i++) {
    assert_contains(receive(more[i]), "too many connections");
    assert_string_equal(receive(more[i]), "");
    close(more[i]);
  }
  say(fd[0], "{\"command\":\"status\"}\n"); // who is served stays served
  assert_contains(receive(fd[0]), "\"ok\":true");
  close(fd[0]);
  say(fd[1], "{\"command\":\"status\"}\n");
  receive(fd[1]);
  fd[0] = connect_client(); // and its place is free again
  say(fd[0], "{\"command\":\"status\"}\n");
  assert_contains(receive(fd[0]), "\"ok\":true");
  for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
    close(fd[i]);
}

// Five real seconds: one who says nothing, one who drips, one who does not read its reply, and one who waits
// for one.
static struct {
  int fd;
  struct loop_timer *timer;
} drip;

static void on_drip(void *arg) {
  (void)arg;
  (void)!send(drip.fd, " ", 1, MSG_NOSIGNAL);
  loop_timer_in(drip.timer, 500000);
}

static void idle_clients_are_closed_and_waiting_ones_are_not(void **state) {
  (void)state;
  struct instant start = clock_now();
  int silent = connect_client(), deaf = connect_client(), waits = connect_client();
  drip.fd = connect_client();
  drip.timer = loop_timer_new(loop, on_drip, NULL);
  loop_timer_in(drip.timer, 1);
  int small = 1;
  setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  for (int i = 0; i < 8; i++) // half a megabyte of replies
    say(deaf, "{\"command\":\"long\",\"size\":65000}\n");
  say(waits, "{\"command\":\"hold\"}\n");
  assert_string_equal(receive(silent), "");
  int64_t after_us = clock_now().us - start.us;
  assert_true(after_us >= CONTROL_IDLE_MS * 1000 && after_us < CONTROL_IDLE_MS * 1000 + 2000000);
  assert_string_equal(receive(drip.fd), "");
  loop_timer_free(drip.timer);
  assert_int_equal(held_count, 1);
  assert_true(requests < 9); // the deaf one's replies were not all made
  int other = connect_client();
  say(other, "{\"command\":\"status\"}\n");
  assert_contains(receive(other), "status");
  control_refuse(control, held[0], CONTROL_FAILED, "late");
  assert_contains(receive(waits), "late");
  int lines = 0;
  while (*receive(deaf) != 0)
    lines++;
  assert_true(lines < 8);
  close(silent), close(deaf), close(waits), close(drip.fd), close(other);
}

static void socket_file_has_its_rights_and_goes_with_its_daemon(void **state) {
  (void)state;
  struct stat st;
  assert_int_equal(lstat(path, &st), 0);
  assert_int_equal(st.st_mode, S_IFSOCK | 0660);
  control_close(control);
  control = NULL;
  assert_int_equal(lstat(path, &st), -1);
  control_close(NULL);
}

static void only_a_stale_socket_is_replaced(void **state) {
  (void)state;
  struct control *second;
  struct stat st;
  assert_int_equal(control_listen(&second, loop, path, &handler), -EADDRINUSE);
  assert_null(second);
  control_close(control);

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0); // a daemon that was killed
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  close(fd);
  assert_int_equal(control_listen(&control, loop, path, &handler), 0);
  fd = connect_client();
  say(fd, "{\"command\":\"status\"}\n");
  assert_contains(receive(fd), "status");
  close(fd);
  control_close(control);

  fd = socket(AF_UNIX, SOCK_STREAM, 0); // one that is stopped, with its queue full
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, 0), 0);
  int queued = connect_client();
  assert_int_equal(control_listen(&control, loop, path, &handler), -EADDRINUSE);
  close(queued);
  close(fd);
  unlink(path);

  close(open(path, O_CREAT | O_WRONLY, 0600)); // somebody's file
  assert_int_equal(control_listen(&control, loop, path, &handler), -EEXIST);
  assert_int_equal(lstat(path, &st), 0);
  char longest[200];
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = 0;
  assert_int_equal(control_listen(&control, loop, longest, &handler), -ENAMETOOLONG);
  assert_int_equal(control_listen(&control, loop, "/nonexistent/x", &handler), -ENOENT);
}

static void another_daemons_file_is_left_alone(void **state) {
  (void)state;
  struct stat st;
  assert_int_equal(unlink(path), 0);
  close(open(path, O_CREAT | O_WRONLY, 0600));
  control_close(control);
  control = NULL;
  assert_int_equal(lstat(path, &st), 0);
}

// ---- the operator's side, in a process of its own ----

// Says its reply as text, or nothing, and the error's number.
static void call(const char *where, const char *command, int timeout_ms) {
  struct json *request = json_new_object(), *reply;
  json_put_text(request, "command", command);
  json_put_int(request, "size", 65000);
  int rc = control_call(where, request, timeout_ms, &reply);
  char *text = rc == 0 ? json_text(reply) : NULL;
  dprintf(STDOUT_FILENO, "%s %d\n", text == NULL ? "" : text, rc);
  free(text);
  json_free(request);
  json_free(reply);
}

static const char *call_as(uid_t uid, gid_t gid, gid_t extra, const char *command, int timeout_ms) {
  int fds[2];
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fds[1], STDOUT_FILENO);
    if (uid != 0 && (setgroups(extra != 0, &extra) != 0 || setgid(gid) != 0 || setuid(uid) != 0))
      _exit(1);
    call(path, command, timeout_ms);
    _exit(0);
  }
  close(fds[1]);
  const char *text = receive(fds[0]);
  close(fds[0]);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  return text;
}

static void caller_gets_its_reply(void **state) {
  (void)state;
  assert_contains(call_as(0, 0, 0, "status", 10000), "{\"ok\":true,\"command\":\"status\",");
  assert_contains(call_as(0, 0, 0, "long", 10000), "xxxx"); // nearly the longest
  assert_contains(call_as(0, 0, 0, "refuse", -1), "\"code\":4");
}

static void caller_does_not_wait_for_ever(void **state) {
  (void)state;
  char wanted[16];
  snprintf(wanted, sizeof wanted, " %d\n", -ETIMEDOUT);
  assert_string_equal(call_as(0, 0, 0, "hold", 50), wanted);
}

static void caller_knows_why_there_is_no_answer(void **state) {
  (void)state;
  struct json *request = json_new_object(), *reply;
  char longer[CONTROL_REQUEST_MAX];
  control_close(control);
  control = NULL;
  assert_int_equal(control_call(path, request, 1000, &reply), -ENOENT);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(control_call(path, request, 1000, &reply), -ECONNREFUSED);
  assert_int_equal(listen(fd, 0), 0); // nobody accepts: the first is queued, the second waits to be
  assert_int_equal(control_call(path, request, 20, &reply), -ETIMEDOUT);
  assert_int_equal(control_call(path, request, 20, &reply), -ETIMEDOUT);
  close(fd);
  memset(longer, 'x', sizeof longer);
  longer[sizeof longer - 1] = 0;
  json_put_text(request, "command", longer);
  assert_int_equal(control_call(path, request, 1000, &reply), -EMSGSIZE);
  assert_int_equal(control_call("", request, 1000, &reply), -EMSGSIZE);
  json_free(request);
}

// A daemon that says nothing, half a line, or no JSON.
static void caller_refuses_what_is_no_reply(void **state) {
  (void)state;
  static const struct {
    const char *reply;
    int rc;
  } bad[] = {{"", -ECONNRESET}, {"{\"ok\":tr", -EPROTO}, {"hello\n", -EPROTO}, {"[]\n", -EPROTO}};
  control_close(control);
  control = NULL;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
      char request[100];
      int client = accept(fd, NULL, NULL);
      bool done = read(client, request, sizeof request) > 0 &&
                  write(client, bad[i].reply, strlen(bad[i].reply)) == (ssize_t)strlen(bad[i].reply);
      _exit(!done);
    }
    struct json *request = json_new_object(), *reply;
    assert_int_equal(control_call(path, request, 10000, &reply), bad[i].rc);
    assert_null(reply);
    json_free(request);
    close(fd);
    waitpid(pid, NULL, 0);
    unlink(path);
  }
}

// A mount namespace of our own, in which there are the groups "tanist" (4711) and "tanist-admin" (4712).
static bool make_groups(void) {
  char file[100];
  snprintf(file, sizeof file, "%s/group", directory);
  FILE *f = fopen(file, "we");
  fprintf(f, "root:x:0:\ntanist:x:4711:\ntanist-admin:x:4712:\n");
  fclose(f);
  bool made = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount(file, "/etc/group", NULL, MS_BIND, NULL) == 0;
  unlink(file);
  return made;
}

// The last test: it leaves the process in another mount namespace.
static void only_administrators_may_change(void **state) {
  (void)state;
  struct stat st;
  if (!make_groups()) {
    print_message("needs root and mount namespaces\n");
    skip();
  }
  control_close(control);
  assert_int_equal(control_listen(&control, loop, path, &handler), 0);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_gid, 4711);
  chmod(directory, 0755);
  char denied[16];
  snprintf(denied, sizeof denied, " %d\n", -EACCES);
  assert_string_equal(call_as(4000, 4000, 0, "status", 10000), denied);
  assert_contains(call_as(4000, 4000, 4711, "status", 10000), "\"may_change\":false,\"uid\":4000}");
  assert_contains(call_as(4000, 4711, 4712, "status", 10000),
                  "\"may_change\":true,\"uid\":4000}"); // supplementary
  chmod(path, 0666);
  assert_contains(call_as(4000, 4712, 0, "status", 10000), "\"may_change\":true"); // primary
  assert_contains(call_as(4000, 4000, 4713, "status", 10000), "\"may_change\":false");
  assert_contains(call_as(0, 0, 0, "status", 10000), "\"may_change\":true");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(request_is_answered),
      TEST(request_may_come_in_pieces_and_several_at_once),
      TEST(thousand_requests_at_once_are_taken_in_turn),
      TEST(reply_may_come_later),
      TEST(half_closed_client_gets_its_reply),
      TEST(reply_to_one_who_left_is_ignored),
      TEST(garbage_is_told_and_closed),
      TEST(too_long_a_request_is_refused),
      TEST(too_long_a_reply_becomes_an_error),
      TEST(newest_beyond_the_limit_is_turned_away),
      TEST(idle_clients_are_closed_and_waiting_ones_are_not),
      TEST(socket_file_has_its_rights_and_goes_with_its_daemon),
      TEST(only_a_stale_socket_is_replaced),
      TEST(another_daemons_file_is_left_alone),
      TEST(caller_gets_its_reply),
      TEST(caller_does_not_wait_for_ever),
      TEST(caller_knows_why_there_is_no_answer),
      TEST(caller_refuses_what_is_no_reply),
      TEST(only_administrators_may_change),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
