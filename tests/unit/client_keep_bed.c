// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/client_keep_bed.h"

char directory[64], path[128];

int set_up(void **unused) {
  (void)unused;
  strcpy(directory, "/tmp/test_client.XXXXXX");
  snprintf(path, sizeof path, "%s/it", mkdtemp(directory));
  return 0;
}

int tear_down(void **unused) {
  (void)unused;
  unlink(path);
  return rmdir(directory);
}

void damage(off_t offset) {
  uint8_t byte;
  int fd = open(path, O_RDWR);
  assert_int_equal(pread(fd, &byte, 1, offset), 1);
  byte ^= 0x40;
  assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
  close(fd);
}
