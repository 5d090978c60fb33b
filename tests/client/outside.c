// SPDX-License-Identifier: Apache-2.0
// outside STATE-PAGE DIRECTORY: a program of somebody else's, who has tanist.h and the library and nothing
// more. After all is open, every function is called, well and badly, while malloc and its kin count: none may
// be. A signal handler reads the page meanwhile. Says what is wrong and ends with 1.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <tanist.h>
#include <unistd.h>

// ---- who allocates ----

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static volatile int counting;
static unsigned allocations;

void *malloc(size_t size) {
  allocations += counting != 0;
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  allocations += counting != 0;
  return __libc_calloc(count, size);
}
void *realloc(void *at, size_t size) {
  allocations += counting != 0;
  return __libc_realloc(at, size);
}

// ---- ----

#define MUST(truth)                                                                                          \
  do {                                                                                                       \
    if (!(truth)) {                                                                                          \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth);                                    \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#define ROUNDS 20000

static struct tanist *page;
static struct tanist_fence *fence;
static struct tanist_history *history, *theirs;
static struct tanist_outbox *outbox, *memory;
static struct tanist_dedup *dedup;
static struct tanist_orphan *writing, *reading;
static const struct tanist_orphan_head head = {4, 10, 7, 1234};
static const char *in_directory;

static volatile sig_atomic_t seen, wrong;

static void on_alarm(int signal) {
  struct tanist_view view;
  uint64_t epoch = 0;
  (void)signal;
  if (tanist_epoch(page) != 4 || !tanist_may_serve(page, &epoch) || epoch != 4 ||
      tanist_view(page, &view) != 0 || view.reign != 4 || view.role != TANIST_MASTER)
    wrong = 1;
  seen = seen + 1;
}

static const char *in(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", in_directory, name);
  return path;
}

static void write_one(const struct tanist_orphan_entry *entry) {
  MUST(tanist_orphan_create(&writing, in("orphans-before"), &head) == 0);
  MUST(tanist_orphan_write(writing, entry) == 0);
  MUST(tanist_orphan_finish(writing) == 0);
}

static void open_all(const char *state_page) {
  static const struct tanist_history_row row = {2, 0};
  struct tanist_orphan_head found;
  struct tanist_orphan_entry entry = {
      .epoch = 4, .position = 11, .producer = 5, .number = 6, .data = "late", .size = 4};
  MUST(tanist_open(&page, state_page) == 0);
  MUST(tanist_fd(page) >= 0);
  MUST(tanist_report_position(page, 4, 0, 0) == 0);
  MUST(tanist_fence_open(&fence, in("fence")) == 0);
  MUST(tanist_history_open(&history, in("history")) == 0);
  MUST(tanist_history_take(&theirs, &row, 1) == 0);
  MUST(tanist_outbox_open(&outbox, in("outbox"), 65536) == 0);
  MUST(tanist_outbox_open(&memory, NULL, 4096) == 0);
  MUST(tanist_dedup_open(&dedup, 4) == 0);
  write_one(&entry);
  MUST(tanist_orphan_open(&reading, in("orphans-before"), &found) == 0);
  MUST(memcmp(&found, &head, sizeof head) == 0);
  MUST(tanist_orphan_create(&writing, in("orphans"), &head) == 0);
}

static void page_functions(uint64_t i) {
  struct tanist_view view;
  struct tanist_change change;
  struct tanist_stamp stamp, back;
  uint8_t bytes[TANIST_STAMP_SIZE];
  uint64_t epoch = 0;
  MUST(tanist_epoch(page) == 4 && tanist_view(page, &view) == 0);
  MUST(view.self == 0 && view.master == 0 && view.need == TANIST_NEED(0));
  MUST(strcmp(view.master_address, "10.0.0.1:7777") == 0);
  MUST(tanist_may_serve(page, &epoch) && epoch == 4 && tanist_may_serve(page, NULL));
  MUST(tanist_next(page, &change) >= 0);
  MUST(tanist_stamp(page, &stamp) == 0 && stamp.serial == i && stamp.epoch == 4 && stamp.cluster[2] == 3);
  tanist_stamp_encode(&stamp, bytes);
  tanist_stamp_decode(&back, bytes);
  MUST(memcmp(&back, &stamp, sizeof stamp) == 0 && bytes[15] == 4);
  MUST(tanist_fence_check(fence, &stamp, i) == (i == 1 ? TANIST_NEWER : TANIST_OK));
  MUST(tanist_fence_check(fence, &stamp, i) == TANIST_DOUBLED);
  stamp.serial++;
  MUST(tanist_fence_check(fence, &stamp, i + 2) == TANIST_GAP);
  stamp.epoch = 3;
  MUST(tanist_fence_check(fence, &stamp, i + 1) == TANIST_STALE && tanist_fence_epoch(fence) == 4);
  stamp.cluster[0] = 9;
  MUST(tanist_fence_check(fence, &stamp, i + 1) == -EXDEV);
}

static void report_functions(uint64_t i) {
  MUST(!tanist_ack_ready(page, 4, i));
  MUST(tanist_report_position(page, 4, i, i) == 0);
  MUST(tanist_peer_acked(page, 4, i) == 0 && tanist_peer_acked(page, 5, i) == -ESTALE);
  MUST(tanist_ack_ready(page, 4, i) && !tanist_ack_ready(page, 4, i + 1) && !tanist_ack_ready(page, 3, i));
  MUST(tanist_commit_position(page) == i);
  MUST(tanist_progress(page, TANIST_RECEIVED, i) == 0 &&
       tanist_progress(page, TANIST_COUNTERS, i) == -EINVAL);
}

static void outbox_functions(struct tanist_outbox *o, uint64_t i) {
  static const char data[200] = "order";
  struct tanist_message message;
  uint64_t number = 0;
  MUST(tanist_outbox_put(o, data, sizeof data, &number) == 0 && number == i && tanist_outbox_count(o) == 1);
  for (int again = 0; again < 2; again++) {
    MUST(tanist_outbox_next(o, &message) == 1 && message.number == i && message.size == sizeof data);
    MUST(message.producer == tanist_outbox_producer(o) && memcmp(message.data, data, sizeof data) == 0);
    MUST(tanist_outbox_next(o, &message) == 0);
    tanist_outbox_rewind(o);
  }
  MUST(tanist_outbox_acked(o, i) == 0 && tanist_outbox_acked(o, i) == -ENOENT);
}

static void dedup_functions(uint64_t i) {
  MUST(tanist_dedup_check(dedup, 7, i) == TANIST_OK && tanist_dedup_take(dedup, 7, i) == 0);
  MUST(tanist_dedup_check(dedup, 7, i) == TANIST_DOUBLED &&
       tanist_dedup_check(dedup, 7, i + 2) == TANIST_GAP);
}

/* Not for each message: these go to the disk, or ring the agent's bell. */
static void seldom(void) {
  const struct tanist_history_row *row;
  struct tanist_orphan_entry entry = {.epoch = 4, .position = 12, .data = "x", .size = 1};
  uint64_t epoch, position;
  MUST(tanist_attached(page, false) == 0 && tanist_attached(page, true) == 0 &&
       tanist_healthy(page, true) == 0);
  MUST(tanist_done(page, 1) == 0 && tanist_suspect(page, "no answer") == 0 && tanist_overtaken(page, 4) == 0);
  MUST(tanist_orphaned(page, in("orphans")) == 0);
  MUST(tanist_history_append(history, 2, 0) == 0 && tanist_history_append(history, 4, 10) == 0);
  MUST(tanist_history_rows(history, &row) == 2 && row[1].epoch == 4);
  MUST(tanist_history_end(history, 3, 20, &epoch, &position) == 0 && epoch == 2 && position == 10);
  MUST(tanist_history_diverged(history, theirs, 20, 15, &epoch, &position) == 0 && epoch == 2 &&
       position == 10);
  MUST(tanist_history_cut(history, 10) == 0 && tanist_history_rows(history, &row) == 1);
  tanist_fence_expect(fence, 41);
  MUST(tanist_outbox_sync(outbox) == 0 && tanist_outbox_sync(memory) == 0);
  tanist_dedup_clear(dedup);
  MUST(tanist_orphan_write(writing, &entry) == 0 && tanist_orphan_finish(writing) == 0);
  MUST(tanist_orphan_next(reading, &entry) == 1 && entry.size == 4 && memcmp(entry.data, "late", 4) == 0);
  MUST(tanist_orphan_next(reading, &entry) == 0);
}

static void close_all(void) {
  tanist_orphan_close(reading);
  tanist_dedup_close(dedup);
  tanist_outbox_close(memory);
  tanist_outbox_close(outbox);
  tanist_history_close(theirs);
  tanist_history_close(history);
  tanist_fence_close(fence);
  tanist_close(page);
  tanist_orphan_close(NULL);
  tanist_close(NULL);
}

int main(int argc, char **argv) {
  struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
  MUST(argc == 3);
  in_directory = argv[2];
  MUST(tanist_open(&page, in("no.such.state")) == -ENOENT && page == NULL);
  open_all(argv[1]);
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &often, NULL);
  counting = 1;
  for (uint64_t i = 1; i <= ROUNDS || seen < 100; i++) {
    page_functions(i);
    report_functions(i);
    outbox_functions(outbox, i);
    outbox_functions(memory, i);
    dedup_functions(i);
  }
  seldom();
  counting = 0;
  setitimer(ITIMER_REAL, &never, NULL);
  MUST(allocations == 0);
  MUST(!wrong);
  close_all();
  return 0;
}
