// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/durable_bed.h"

struct io io;

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  io.pwrites++;
  io.offset = offset;
  return syscall(SYS_pwrite64, fd, data, size, offset);
}

int fdatasync(int fd) {
  io.syncs++;
  if (io.sync_error != 0) {
    errno = io.sync_error;
    return -1;
  }
  return (int)syscall(SYS_fdatasync, fd);
}

char directory[64], path[128];
struct durable_content content;
struct durable *store;

int set_up(void **state) {
  (void)state;
  memset(&io, 0, sizeof io);
  store = NULL;
  strcpy(directory, "/tmp/test_durable.XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(path, sizeof path, "%s/" NAME, directory);
  return 0;
}

int tear_down(void **state) {
  (void)state;
  char command[200];
  durable_close(store);
  snprintf(command, sizeof command, "%s/" NAME ".new", directory);
  unlink(command);
  unlink(path);
  rmdir(path);
  return rmdir(directory);
}

int reopen(void) {
  durable_close(store);
  return durable_open(&store, directory, NAME, WHO, &content);
}

int create(const char *payload) {
  return durable_create(&store, directory, NAME, WHO, payload, strlen(payload));
}

int put(const char *payload) {
  return durable_write(store, payload, strlen(payload));
}

void load(uint8_t bytes[FILE_BYTES]) {
  int fd = open(path, O_RDONLY);
  assert_int_equal(read(fd, bytes, FILE_BYTES), FILE_BYTES);
  close(fd);
}

void store_bytes(const uint8_t *bytes, size_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_int_equal(write(fd, bytes, size), size);
  close(fd);
}
