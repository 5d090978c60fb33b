// SPDX-License-Identifier: Apache-2.0
// libtanist's files: fence, history, outbox, orphans; and the table of producers.
#include "tests/unit/client_keep_bed.h"

// ---- fence ----

static int check(struct tanist_fence *f, uint64_t epoch, uint64_t serial, uint64_t position) {
  struct tanist_stamp stamp = {{1, 2, 3, 4, 5, 6, 7, 8}, epoch, serial};
  return tanist_fence_check(f, &stamp, position);
}

static void a_fence_has_three_checks(void **unused) {
  (void)unused;
  struct tanist_fence *f;
  assert_int_equal(tanist_fence_open(&f, path), 0);
  assert_int_equal(check(f, 4, 1, 10), TANIST_NEWER);
  assert_int_equal(check(f, 4, 2, 11), TANIST_OK);
  assert_int_equal(check(f, 4, 2, 12), TANIST_DOUBLED); /* serial */
  assert_int_equal(check(f, 4, 1, 12), TANIST_DOUBLED);
  assert_int_equal(check(f, 4, 3, 11), TANIST_DOUBLED); /* position */
  assert_int_equal(check(f, 4, 3, 13), TANIST_GAP);
  assert_int_equal(check(f, 4, 3, 12), TANIST_OK); /* a refusal has used up nothing */
  assert_int_equal(check(f, 5, 1, 13), TANIST_NEWER);
  assert_int_equal(check(f, 4, 9, 14), TANIST_STALE);
  assert_int_equal(tanist_fence_epoch(f), 5);
  assert_int_equal(check(f, 5, 2, 0), TANIST_OK); /* not numbered */
  tanist_fence_close(f);
}

static void a_higher_epoch_outlives_a_crash(void **unused) {
  (void)unused;
  struct tanist_fence *f;
  pid_t child = fork();
  if (child == 0) {
    tanist_fence_open(&f, path);
    _exit(check(f, 7, 1, 1) == TANIST_NEWER ? 0 : 1); /* without closing it */
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(tanist_fence_open(&f, path), 0);
  assert_int_equal(tanist_fence_epoch(f), 7);
  assert_int_equal(check(f, 6, 1, 2), TANIST_STALE);
  tanist_fence_expect(f, 41);
  assert_int_equal(check(f, 7, 1, 43), TANIST_GAP);
  assert_int_equal(check(f, 7, 1, 42), TANIST_OK);
  tanist_fence_close(f);
}

static void a_gap_under_a_higher_epoch_still_shuts_out_the_lower(void **unused) {
  (void)unused;
  struct tanist_fence *f;
  assert_int_equal(tanist_fence_open(&f, path), 0);
  assert_int_equal(check(f, 4, 1, 1), TANIST_NEWER);
  assert_int_equal(check(f, 5, 1, 9), TANIST_GAP);
  assert_int_equal(check(f, 4, 2, 2), TANIST_STALE);
  tanist_fence_close(f);
}

static void a_fence_is_one_clusters_and_one_processs(void **unused) {
  (void)unused;
  struct tanist_fence *f, *second;
  struct tanist_stamp foreign = {{9}, 99, 1};
  assert_int_equal(tanist_fence_open(&f, path), 0);
  assert_int_equal(check(f, 4, 1, 1), TANIST_NEWER);
  assert_int_equal(tanist_fence_check(f, &foreign, 2), -EXDEV);
  assert_int_equal(tanist_fence_epoch(f), 4);
  assert_int_equal(tanist_fence_open(&second, path), -EBUSY);
  tanist_fence_close(f);
  damage(100);
  damage(5000);
  assert_int_equal(tanist_fence_open(&f, path), -EBADMSG);
  assert_int_equal(tanist_fence_open(&f, "/nonexistent/fence"), -ENOTDIR);
}

// ---- history ----

static struct tanist_history *history(size_t count, const struct tanist_history_row *row) {
  struct tanist_history *h;
  assert_int_equal(tanist_history_take(&h, row, count), 0);
  return h;
}

static void a_history_is_durable_and_cut_with_its_log(void **unused) {
  (void)unused;
  struct tanist_history *h;
  const struct tanist_history_row *row;
  assert_int_equal(tanist_history_open(&h, path), 0);
  assert_int_equal(tanist_history_append(h, 2, 0), 0);
  assert_int_equal(tanist_history_append(h, 4, 10), 0);
  assert_int_equal(tanist_history_append(h, 6, 20), 0);
  assert_int_equal(tanist_history_append(h, 7, 15), 0); /* the log was cut back to 15 */
  tanist_history_close(h);
  assert_int_equal(tanist_history_open(&h, path), 0);
  assert_int_equal(tanist_history_rows(h, &row), 3);
  assert_int_equal(row[1].epoch, 4);
  assert_int_equal(row[2].epoch, 7);
  assert_int_equal(row[2].position, 15);
  tanist_history_close(h);
}

static void the_end_of_an_epoch_is_the_next_ones_beginning(void **unused) {
  (void)unused;
  struct tanist_history *h = history(3, (struct tanist_history_row[]){{2, 0}, {4, 10}, {7, 15}});
  uint64_t e, end;
  assert_int_equal(tanist_history_end(h, 2, 30, &e, &end), 0);
  assert_int_equal(end, 10);
  assert_int_equal(tanist_history_end(h, 6, 30, &e, &end), 0); /* one that is not there: the one below */
  assert_int_equal(e, 4);
  assert_int_equal(end, 15);
  assert_int_equal(tanist_history_end(h, 9, 30, &e, &end), 0);
  assert_int_equal(end, 30);
  assert_int_equal(tanist_history_end(h, 1, 30, &e, &end), -ENOENT);
  tanist_history_close(h);
}

static void part(size_t n, const struct tanist_history_row *mine, uint64_t my_end, size_t m,
                 const struct tanist_history_row *theirs, uint64_t their_end, uint64_t epoch,
                 uint64_t position) {
  struct tanist_history *a = history(n, mine), *b = history(m, theirs);
  uint64_t e, at;
  assert_int_equal(tanist_history_diverged(a, b, my_end, their_end, &e, &at), 0);
  assert_int_equal(e, epoch);
  assert_int_equal(at, position);
  tanist_history_close(a);
  tanist_history_close(b);
}

#define ROWS(...)                                                                                            \
  sizeof((struct tanist_history_row[]){__VA_ARGS__}) / sizeof(struct tanist_history_row),                    \
      (struct tanist_history_row[]) {                                                                        \
    __VA_ARGS__                                                                                              \
  }

static void logs_part_at_the_newest_common_epoch(void **unused) {
  (void)unused;
  part(ROWS({2, 0}), 12, ROWS({2, 0}, {3, 10}), 20, 2, 10); /* 11 and 12 were never confirmed */
  part(ROWS({2, 0}), 8, ROWS({2, 0}, {3, 10}), 20, 2, 8);   /* nothing to discard */
  /* two failovers while it was away: its own 4 is unknown there, 5 and 6 here */
  part(ROWS({2, 0}, {4, 10}), 14, ROWS({2, 0}, {5, 10}, {6, 18}), 30, 2, 10);
  /* the first foreign epoch is not where they part: both hold 6 */
  part(ROWS({2, 0}, {6, 10}), 25, ROWS({2, 0}, {3, 8}, {6, 10}, {8, 22}), 40, 6, 22);
}

static void logs_without_a_common_epoch_have_no_such_place(void **unused) {
  (void)unused;
  uint64_t e, at;
  struct tanist_history *a = history(ROWS({2, 0})), *b = history(ROWS({3, 0}));
  assert_int_equal(tanist_history_diverged(a, b, 10, 10, &e, &at), -ENOENT);
  tanist_history_close(a);
  tanist_history_close(b);
  assert_int_equal(tanist_history_take(&a, (struct tanist_history_row[]){{3, 0}, {3, 5}}, 2), -EINVAL);
}

/* A node that cut its log back and copies the older epoch on: its rows tell of no entries that are gone. */
static void a_history_is_cut_with_its_log(void **unused) {
  (void)unused;
  struct tanist_history *h;
  uint64_t e, end;
  assert_int_equal(tanist_history_open(&h, path), 0);
  assert_int_equal(tanist_history_append(h, 2, 0), 0);
  assert_int_equal(tanist_history_append(h, 4, 10), 0);
  assert_int_equal(tanist_history_cut(h, 11), 0); /* the first entry of 4 is still there */
  assert_int_equal(tanist_history_end(h, 2, 11, &e, &end), 0);
  assert_int_equal(end, 10);
  assert_int_equal(tanist_history_cut(h, 10), 0);
  tanist_history_close(h);
  assert_int_equal(tanist_history_open(&h, path), 0);
  assert_int_equal(tanist_history_append(h, 6, 12), 0); /* 11 and 12 were copied, and are of 2 */
  assert_int_equal(tanist_history_end(h, 4, 12, &e, &end), 0);
  assert_int_equal(e, 2);
  assert_int_equal(end, 12);
  tanist_history_close(h);
}

static void a_full_history_forgets_its_oldest(void **unused) {
  (void)unused;
  struct tanist_history *h;
  const struct tanist_history_row *row;
  assert_int_equal(tanist_history_take(&h, NULL, 0), 0);
  for (uint64_t i = 1; i <= TANIST_HISTORY_ROWS + 5; i++)
    assert_int_equal(tanist_history_append(h, i, i * 10), 0);
  assert_int_equal(tanist_history_rows(h, &row), TANIST_HISTORY_ROWS);
  assert_int_equal(row[0].epoch, 6);
  tanist_history_close(h);
}

// ---- producers ----

static void a_number_is_taken_once(void **unused) {
  (void)unused;
  struct tanist_dedup *d;
  assert_int_equal(tanist_dedup_open(&d, 2), 0);
  assert_int_equal(tanist_dedup_check(d, 77, 5), TANIST_OK); /* the first of it that is seen */
  assert_int_equal(tanist_dedup_take(d, 77, 5), 0);
  assert_int_equal(tanist_dedup_check(d, 77, 5), TANIST_DOUBLED);
  assert_int_equal(tanist_dedup_check(d, 77, 4), TANIST_DOUBLED);
  assert_int_equal(tanist_dedup_check(d, 77, 7), TANIST_GAP);
  assert_int_equal(tanist_dedup_check(d, 77, 6), TANIST_OK);
  assert_int_equal(tanist_dedup_take(d, 78, 1), 0);
  assert_int_equal(tanist_dedup_check(d, 79, 1), -ENOSPC); /* told before it is in the log */
  assert_int_equal(tanist_dedup_check(d, 78, 2), TANIST_OK);
  assert_int_equal(tanist_dedup_take(d, 79, 1), -ENOSPC);
  tanist_dedup_clear(d);
  assert_int_equal(tanist_dedup_take(d, 79, 1), 0);
  tanist_dedup_close(d);
}

// ---- orphans ----

static const struct tanist_orphan_head head = {
    .epoch = 4, .position = 10, .master_epoch = 7, .wall_ms = 1234};

static void write_orphans(void) {
  struct tanist_orphan *o;
  assert_int_equal(tanist_orphan_create(&o, path, &head), 0);
  struct tanist_orphan_entry entry = {
      .epoch = 4, .position = 11, .producer = 9, .number = 3, .data = "late", .size = 4};
  assert_int_equal(tanist_orphan_write(o, &entry), 0);
  entry = (struct tanist_orphan_entry){.epoch = 4, .position = 12, .data = "", .size = 0};
  assert_int_equal(tanist_orphan_write(o, &entry), 0);
  assert_int_equal(access(path, F_OK), -1); /* no name before it is whole */
  assert_int_equal(tanist_orphan_finish(o), 0);
}

static void what_was_cut_off_can_be_read(void **unused) {
  (void)unused;
  struct tanist_orphan *o;
  struct tanist_orphan_head found;
  struct tanist_orphan_entry entry;
  write_orphans();
  assert_int_equal(tanist_orphan_create(&o, path, &head), -EEXIST);
  assert_int_equal(tanist_orphan_open(&o, path, &found), 0);
  assert_memory_equal(&found, &head, sizeof head);
  assert_int_equal(tanist_orphan_next(o, &entry), 1);
  assert_int_equal(entry.position, 11);
  assert_int_equal(entry.producer, 9);
  assert_int_equal(entry.number, 3);
  assert_memory_equal(entry.data, "late", 4);
  assert_int_equal(tanist_orphan_next(o, &entry), 1);
  assert_int_equal(entry.size, 0);
  assert_int_equal(tanist_orphan_next(o, &entry), 0);
  assert_int_equal(tanist_orphan_next(o, &entry), 0);
  tanist_orphan_close(o);
}

/* Wherever it ends, what is missing is told; what stands before is there. */
static void an_orphan_file_that_was_cut_short_says_so(void **unused) {
  (void)unused;
  struct stat st;
  write_orphans();
  assert_int_equal(stat(path, &st), 0);
  for (off_t size = st.st_size - 1; size >= 0; size--) {
    struct tanist_orphan *o;
    struct tanist_orphan_head found;
    struct tanist_orphan_entry entry;
    int entries = 0, rc;
    assert_int_equal(truncate(path, size), 0);
    rc = tanist_orphan_open(&o, path, &found);
    assert_int_equal(rc, size >= 44 ? 0 : -EBADMSG);
    if (rc != 0)
      continue;
    while ((rc = tanist_orphan_next(o, &entry)) == 1)
      entries++;
    assert_int_equal(rc, -EBADMSG);
    assert_int_equal(entries, (size >= 44 + 48) + (size >= 44 + 48 + 44));
    tanist_orphan_close(o);
  }
}

static void what_could_not_be_written_is_never_called_whole(void **unused) {
  (void)unused;
  struct rlimit limit, small;
  struct tanist_orphan *o;
  static char data[200000];
  struct tanist_orphan_entry entry = {.epoch = 4, .position = 11, .data = data, .size = sizeof data};
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
  small = (struct rlimit){100000, limit.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(tanist_orphan_create(&o, path, &head), 0);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  assert_int_equal(tanist_orphan_write(o, &entry), -EFBIG);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0); /* there is room again, but one entry is missing */
  entry.size = 5;
  assert_int_equal(tanist_orphan_write(o, &entry), -EFBIG);
  assert_int_equal(tanist_orphan_finish(o), -EFBIG);
  assert_int_equal(access(path, F_OK), -1);
}

static void what_is_no_orphan_file_is_told_apart(void **unused) {
  (void)unused;
  struct tanist_orphan *o;
  struct tanist_orphan_head found;
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(tanist_orphan_open(&o, path, &found), -EBADMSG); /* and nobody waits for a writer */
  unlink(path);
  assert_int_equal(tanist_orphan_open(&o, directory, &found), -EBADMSG);
  assert_int_equal(tanist_orphan_open(&o, path, &found), -ENOENT);
  write_orphans();
  damage(7);
  assert_int_equal(tanist_orphan_open(&o, path, &found), -EPROTONOSUPPORT);
}

static void a_damaged_orphan_file_says_where_it_ends(void **unused) {
  (void)unused;
  struct tanist_orphan *o;
  struct tanist_orphan_head found;
  struct tanist_orphan_entry entry;
  write_orphans();
  damage(44 + 44 + 4 + 5);
  assert_int_equal(tanist_orphan_open(&o, path, &found), 0);
  assert_int_equal(tanist_orphan_next(o, &entry), 1);
  assert_int_equal(tanist_orphan_next(o, &entry), -EBADMSG);
  tanist_orphan_close(o);
  damage(3);
  assert_int_equal(tanist_orphan_open(&o, path, &found), -EBADMSG);
}

static void one_that_was_given_up_leaves_nothing(void **unused) {
  (void)unused;
  struct tanist_orphan *o;
  assert_int_equal(tanist_orphan_create(&o, path, &head), 0);
  tanist_orphan_close(o);
  assert_int_equal(access(path, F_OK), -1); /* tear_down sees that the directory is empty */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_fence_has_three_checks),
      TEST(a_higher_epoch_outlives_a_crash),
      TEST(a_gap_under_a_higher_epoch_still_shuts_out_the_lower),
      TEST(a_fence_is_one_clusters_and_one_processs),
      TEST(a_history_is_durable_and_cut_with_its_log),
      TEST(the_end_of_an_epoch_is_the_next_ones_beginning),
      TEST(logs_part_at_the_newest_common_epoch),
      TEST(logs_without_a_common_epoch_have_no_such_place),
      TEST(a_history_is_cut_with_its_log),
      TEST(a_full_history_forgets_its_oldest),
      TEST(a_number_is_taken_once),
      TEST(what_was_cut_off_can_be_read),
      TEST(an_orphan_file_that_was_cut_short_says_so),
      TEST(what_could_not_be_written_is_never_called_whole),
      TEST(what_is_no_orphan_file_is_told_apart),
      TEST(a_damaged_orphan_file_says_where_it_ends),
      TEST(one_that_was_given_up_leaves_nothing),
  };
  return cmocka_run_group_tests_name("client_keep", tests, NULL, NULL);
}
