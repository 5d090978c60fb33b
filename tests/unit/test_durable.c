// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/durable_bed.h"

static void crc_matches_the_published_examples(void **state) {
  (void)state;
  uint8_t bytes[32]; // RFC 3720, appendix B.4
  memset(bytes, 0, sizeof bytes);
  assert_int_equal(crc32c(bytes, 32), 0x8a9136aa);
  memset(bytes, 0xff, sizeof bytes);
  assert_int_equal(crc32c(bytes, 32), 0x62a8ab43);
  for (int i = 0; i < 32; i++)
    bytes[i] = (uint8_t)i;
  assert_int_equal(crc32c(bytes, 32), 0x46dd794e);
  assert_int_equal(crc32c("123456789", 9), 0xe3069283);
  assert_int_equal(crc32c("", 0), 0);
}

static void absent_is_told_apart_from_no_directory(void **state) {
  (void)state;
  assert_int_equal(reopen(), -ENOENT);
  assert_null(store);
  assert_int_equal(durable_open(&store, "/nonexistent", NAME, WHO, &content), -ENOTDIR);
  assert_int_equal(durable_create(&store, "/nonexistent", NAME, WHO, "x", 1), -ENOTDIR);
}

static void what_was_written_is_read(void **state) {
  (void)state;
  char text[32];
  assert_int_equal(create("first"), 0);
  assert_int_equal(reopen(), 0);
  assert_content("first");
  assert_false(content.torn);
  assert_string_equal(content.identity, WHO);
  for (int i = 0; i < 9; i++) {
    snprintf(text, sizeof text, "number %d", i);
    assert_int_equal(put(text), 0);
    assert_int_equal(put(text + 1), 0);
    if (i % 2 == 0)
      assert_int_equal(put(""), 0);
    assert_int_equal(put(text), 0);
    assert_int_equal(reopen(), 0);
    assert_content(text);
    assert_false(content.torn);
  }
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, FILE_BYTES);
  assert_int_equal(st.st_mode & 07777, 0600);
}

static void payload_has_its_limit(void **state) {
  (void)state;
  static uint8_t big[DURABLE_PAYLOAD_MAX + 1];
  memset(big, 0xa5, sizeof big);
  assert_int_equal(durable_create(&store, directory, NAME, WHO, big, sizeof big), -EMSGSIZE);
  assert_int_equal(reopen(), -ENOENT);
  assert_int_equal(durable_create(&store, directory, NAME, WHO, big, sizeof big - 1), 0);
  assert_int_equal(durable_write(store, big, sizeof big), -EMSGSIZE);
  assert_int_equal(reopen(), 0);
  assert_int_equal(content.size, DURABLE_PAYLOAD_MAX);
  assert_memory_equal(content.payload, big, DURABLE_PAYLOAD_MAX);
  char identity[DURABLE_IDENTITY_MAX + 2];
  memset(identity, 'x', sizeof identity);
  identity[sizeof identity - 1] = 0;
  struct durable *other;
  assert_int_equal(durable_create(&other, directory, "other", identity, "", 0), -ENAMETOOLONG);
  assert_int_equal(durable_open(&other, directory, NAME, identity, &content), -ENAMETOOLONG);
}

static void write_is_one_pwrite_and_one_sync_in_turn(void **state) {
  (void)state;
  assert_int_equal(create("0"), 0);
  for (int i = 1; i <= 4; i++) {
    memset(&io, 0, sizeof io);
    assert_int_equal(put("x"), 0);
    assert_int_equal(io.pwrites, 1);
    assert_int_equal(io.syncs, 1);
    assert_int_equal(io.offset, i % 2 * DURABLE_BLOCK);
  }
}

static void failed_sync_leaves_the_turn_where_it_was(void **state) {
  (void)state;
  assert_int_equal(create("0"), 0);
  assert_int_equal(put("1"), 0);
  off_t good = io.offset;
  io.sync_error = EIO;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(put("lost"), -EIO);
    assert_int_not_equal(io.offset, good);
  }
  io.sync_error = 0;
  assert_int_equal(put("2"), 0);
  assert_int_not_equal(io.offset, good);
  assert_int_equal(reopen(), 0);
  assert_content("2");
  assert_false(content.torn);
}

// A process killed between write and sync left something readable that is not on the disk.
static void open_syncs_what_it_reads(void **state) {
  (void)state;
  assert_int_equal(create("0"), 0);
  memset(&io, 0, sizeof io);
  assert_int_equal(reopen(), 0);
  assert_int_equal(io.syncs, 1);
  io.sync_error = EIO;
  assert_int_equal(reopen(), -EIO);
  assert_null(store);
}

static void every_flipped_byte_of_the_newest_slot_falls_back(void **state) {
  (void)state;
  uint8_t bytes[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  assert_int_equal(put("old"), 0);
  assert_int_equal(put("new"), 0); // slot 0
  load(bytes);
  int fd = open(path, O_WRONLY);
  for (int i = 0; i < DURABLE_BLOCK; i++) {
    uint8_t flipped = (uint8_t)(bytes[i] ^ 1 << i % 8);
    assert_int_equal(syscall(SYS_pwrite64, fd, &flipped, 1, i), 1);
    assert_int_equal(reopen(), 0);
    assert_true(content.torn);
    assert_content("old");
    assert_int_equal(syscall(SYS_pwrite64, fd, &bytes[i], 1, i), 1);
  }
  close(fd);
  assert_int_equal(reopen(), 0);
  assert_content("new");
}

// A write that was cut off after any number of bytes, over what that slot held before.
static void every_torn_write_falls_back(void **state) {
  (void)state;
  uint8_t before[FILE_BYTES], after[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  assert_int_equal(put("one before"), 0);
  load(before); // the next write goes to slot 0
  assert_int_equal(put("cut off"), 0);
  load(after);
  int fd = open(path, O_WRONLY), whole = 0;
  for (int i = 0; i <= DURABLE_BLOCK; i++) {
    assert_int_equal(syscall(SYS_pwrite64, fd, before, DURABLE_BLOCK, 0), DURABLE_BLOCK);
    assert_int_equal(syscall(SYS_pwrite64, fd, after, (size_t)i, 0), i);
    assert_int_equal(reopen(), 0);
    if (content.size == 7) {
      whole++;
      assert_content("cut off");
    } else
      assert_content("one before");
  }
  close(fd);
  assert_true(whole >= 1 && whole <= 4); // the checksum's own last bytes may happen to be equal
}

static void torn_slot_is_repaired_by_the_next_write(void **state) {
  (void)state;
  uint8_t bytes[FILE_BYTES];
  for (int newest = 0; newest < 2; newest++) {
    assert_int_equal(create("0"), 0);
    for (int i = 0; i <= newest; i++)
      assert_int_equal(put("good"), 0);
    assert_int_equal(put("torn"), 0);
    load(bytes);
    memset(bytes + newest * DURABLE_BLOCK + 100, 'x', 512);
    store_bytes(bytes, FILE_BYTES);
    assert_int_equal(reopen(), 0);
    assert_true(content.torn);
    assert_content("good");
    assert_int_equal(put("next"), 0);
    assert_int_equal(io.offset, newest * DURABLE_BLOCK);
    assert_int_equal(reopen(), 0);
    assert_false(content.torn);
    assert_content("next");
    durable_close(store);
    store = NULL;
    unlink(path);
  }
}

static void damage_is_refused_and_never_guessed_at(void **state) {
  (void)state;
  uint8_t good[FILE_BYTES + 1] = {0}, bytes[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  load(good);
  memcpy(bytes, good, sizeof bytes); // both slots
  bytes[0] ^= 1;
  bytes[DURABLE_BLOCK] ^= 1;
  store_bytes(bytes, sizeof bytes);
  assert_int_equal(reopen(), -EBADMSG);
  assert_null(store);

  memset(bytes, 0, sizeof bytes);
  store_bytes(bytes, sizeof bytes);
  assert_int_equal(reopen(), -EBADMSG);

  const size_t sizes[] = {0, 1, DURABLE_BLOCK, FILE_BYTES - 1, FILE_BYTES + 1};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    store_bytes(good, sizes[i]);
    assert_int_equal(reopen(), -EBADMSG);
  }
  memcpy(bytes, good + DURABLE_BLOCK, DURABLE_BLOCK); // slots in each other's place
  memcpy(bytes + DURABLE_BLOCK, good, DURABLE_BLOCK);
  store_bytes(bytes, sizeof bytes);
  assert_int_equal(reopen(), -EBADMSG);

  store_bytes(good, FILE_BYTES);
  assert_int_equal(reopen(), 0); // and the file that all of them were made from is good
}

static void slots_that_do_not_follow_each_other_are_damage(void **state) {
  (void)state;
  uint8_t early[FILE_BYTES], late[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  load(early);
  for (int i = 0; i < 4; i++)
    assert_int_equal(put("x"), 0);
  load(late);
  memcpy(late, early, DURABLE_BLOCK); // one half restored from a backup
  store_bytes(late, FILE_BYTES);
  assert_int_equal(reopen(), -EBADMSG);
}

static void only_a_regular_file_will_do(void **state) {
  (void)state;
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(reopen(), -EBADMSG);
  unlink(path);
  assert_int_equal(symlink("/etc/hostname", path), 0);
  assert_int_equal(reopen(), -EBADMSG);
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  assert_int_equal(reopen(), -EBADMSG);
}

static void foreign_file_is_refused_and_names_its_owner(void **state) {
  (void)state;
  uint8_t bytes[FILE_BYTES];
  assert_int_equal(durable_create(&store, directory, NAME, "orders/b", "x", 1), 0);
  assert_int_equal(reopen(), -EXDEV);
  assert_null(store);
  assert_string_equal(content.identity, "orders/b");
  load(bytes);
  bytes[50] ^= 1; // torn as well: still not ours
  store_bytes(bytes, FILE_BYTES);
  assert_int_equal(reopen(), -EXDEV);
}

static void seal_slot(uint8_t *slot) {
  uint8_t *at = slot + DURABLE_BLOCK - 4;
  bytes_put_u32(&at, crc32c(slot, DURABLE_BLOCK - 4));
}

static void newer_format_is_not_passed_over(void **state) {
  (void)state;
  uint8_t good[FILE_BYTES], bytes[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  load(good);
  for (int slot = 0; slot < 2; slot++) {
    memcpy(bytes, good, sizeof bytes);
    bytes[slot * DURABLE_BLOCK + 11] = 2; // the version
    seal_slot(bytes + slot * DURABLE_BLOCK);
    store_bytes(bytes, FILE_BYTES);
    assert_int_equal(reopen(), -EPROTONOSUPPORT);
  }
}

static void impossible_length_with_a_good_checksum_is_damage(void **state) {
  (void)state;
  uint8_t bytes[FILE_BYTES];
  assert_int_equal(create("0"), 0);
  load(bytes);
  for (int slot = 0; slot < 2; slot++) {
    memset(bytes + slot * DURABLE_BLOCK + 12, 0xff, 4);
    seal_slot(bytes + slot * DURABLE_BLOCK);
  }
  store_bytes(bytes, FILE_BYTES);
  assert_int_equal(reopen(), -EBADMSG);
}

static void open_file_is_locked(void **state) {
  (void)state;
  struct durable *other;
  char kept[128];
  assert_int_equal(create("0"), 0);
  assert_int_equal(durable_open(&other, directory, NAME, WHO, &content), -EBUSY);
  assert_int_equal(durable_set_aside(directory, NAME, kept, sizeof kept), -EBUSY);
  assert_int_equal(durable_create(&other, directory, NAME, WHO, "1", 1), -EEXIST);
  assert_null(other);
  assert_int_equal(put("mine"), 0);
  assert_int_equal(reopen(), 0);
  assert_content("mine");
}

static void interrupted_creation_leaves_absence(void **state) {
  (void)state;
  char temporary[160];
  snprintf(temporary, sizeof temporary, "%s.new", path);
  int fd = open(temporary, O_WRONLY | O_CREAT, 0600);
  assert_int_equal(write(fd, "half", 4), 4);
  assert_int_equal(reopen(), -ENOENT);
  assert_int_equal(flock(fd, LOCK_EX), 0); // another process is still at it
  assert_int_equal(create("0"), -EBUSY);
  close(fd);
  assert_int_equal(create("0"), 0); // it is gone
  assert_int_equal(access(temporary, F_OK), -1);
  assert_int_equal(reopen(), 0);
  assert_content("0");
}

static void limit_file_size(rlim_t bytes) {
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
}

static void no_room_at_creation_leaves_nothing(void **state) {
  (void)state;
  limit_file_size(DURABLE_BLOCK);
  int rc = create("0");
  limit_file_size(RLIM_INFINITY);
  assert_int_equal(rc, -EFBIG);
  assert_null(store);
  assert_int_equal(reopen(), -ENOENT);
}

// A real short write: the limit lets 100 bytes of slot 1 pass.
static void no_room_for_a_write_keeps_the_good_slot(void **state) {
  (void)state;
  assert_int_equal(create("good"), 0);
  limit_file_size(DURABLE_BLOCK + 100);
  int first = put("lost"), second = put("lost");
  limit_file_size(DURABLE_BLOCK);
  int third = put("lost");
  limit_file_size(RLIM_INFINITY);
  assert_int_equal(first, -ENOSPC);
  assert_int_equal(second, -ENOSPC);
  assert_int_equal(third, -EFBIG);
  assert_int_equal(reopen(), 0);
  assert_true(content.torn);
  assert_content("good");
  assert_int_equal(put("again"), 0);
  assert_int_equal(reopen(), 0);
  assert_content("again");
}

static void directory_without_rights_is_an_error(void **state) {
  (void)state;
  assert_int_equal(chmod(directory, 0555), 0);
  bool root = geteuid() == 0;
  assert_int_equal(root ? seteuid(65534) : 0, 0);
  int rc = create("0");
  assert_int_equal(root ? seteuid(0) : 0, 0);
  chmod(directory, 0700);
  assert_int_equal(rc, -EACCES);
  assert_int_equal(reopen(), -ENOENT);
}

static void set_aside_keeps_the_file_under_a_dated_name(void **state) {
  (void)state;
  char kept[64], kept_path[200];
  assert_int_equal(durable_set_aside(directory, NAME, kept, sizeof kept), -ENOENT);
  store_bytes((const uint8_t *)"rubbish", 7);
  assert_int_equal(durable_set_aside(directory, NAME, kept, sizeof kept), 0);
  assert_int_equal(reopen(), -ENOENT);
  assert_true(strncmp(kept, NAME ".aside-20", 11) == 0);
  snprintf(kept_path, sizeof kept_path, "%s/%s", directory, kept);
  struct stat st;
  assert_int_equal(stat(kept_path, &st), 0);
  assert_int_equal(st.st_size, 7);
  assert_int_equal(durable_set_aside(directory, NAME, kept, 5), -ENAMETOOLONG);
  assert_int_equal(create("0"), 0);
  durable_close(store);
  store = NULL;
  int rc = durable_set_aside(directory, NAME, kept, sizeof kept);
  assert_true(rc == 0 || rc == -EEXIST); // -EEXIST: within the same second
  unlink(kept_path);
  snprintf(kept_path, sizeof kept_path, "%s/%s", directory, kept);
  unlink(kept_path);
}

// Writes 1, 2, 3, ... and says each number once it is safe, until it is killed.
static void write_until_killed(int out) {
  for (uint32_t i = 1;; i++) {
    if (durable_write(store, &i, sizeof i) != 0 || write(out, &i, sizeof i) != sizeof i)
      _exit(1);
  }
}

static void killed_writer_loses_nothing_it_had_said(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    int fds[2];
    uint32_t said = 0, next, found;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(durable_create(&store, directory, NAME, WHO, &said, sizeof said), 0);
    pid_t pid = fork();
    if (pid == 0)
      write_until_killed(fds[1]);
    close(fds[1]);
    while (said < (uint32_t)round * 7 + 1 && read(fds[0], &next, sizeof next) == sizeof next)
      said = next;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (read(fds[0], &next, sizeof next) == sizeof next)
      said = next;
    close(fds[0]);
    assert_int_equal(reopen(), 0);
    memcpy(&found, content.payload, sizeof found);
    assert_true(said > 0 && (found == said || found == said + 1));
    durable_close(store);
    store = NULL;
    unlink(path);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(crc_matches_the_published_examples),
      TEST(absent_is_told_apart_from_no_directory),
      TEST(what_was_written_is_read),
      TEST(payload_has_its_limit),
      TEST(write_is_one_pwrite_and_one_sync_in_turn),
      TEST(failed_sync_leaves_the_turn_where_it_was),
      TEST(open_syncs_what_it_reads),
      TEST(every_flipped_byte_of_the_newest_slot_falls_back),
      TEST(every_torn_write_falls_back),
      TEST(torn_slot_is_repaired_by_the_next_write),
      TEST(damage_is_refused_and_never_guessed_at),
      TEST(slots_that_do_not_follow_each_other_are_damage),
      TEST(only_a_regular_file_will_do),
      TEST(foreign_file_is_refused_and_names_its_owner),
      TEST(newer_format_is_not_passed_over),
      TEST(impossible_length_with_a_good_checksum_is_damage),
      TEST(open_file_is_locked),
      TEST(interrupted_creation_leaves_absence),
      TEST(no_room_at_creation_leaves_nothing),
      TEST(no_room_for_a_write_keeps_the_good_slot),
      TEST(directory_without_rights_is_an_error),
      TEST(set_aside_keeps_the_file_under_a_dated_name),
      TEST(killed_writer_loses_nothing_it_had_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
