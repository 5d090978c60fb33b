// SPDX-License-Identifier: Apache-2.0
// A former agent's reign (L10), in a file that came to harm. Input: what was kept and in which order; then bits: 1 the
// slots' checksums are put right again, 2 the file has another length; then which bytes of the file are others, each its
// place in two bytes and what it is mixed with. With the checksums as they were, what is found is what was kept.
#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/crc.h"
#include "common/base/reign.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CLUSTER 7
#define KEPT_MAX 4

struct slot { // as reign.c lays it out
  uint32_t crc, spare;
  struct instant base;
  char broker[REIGN_BROKER_MAX];
  struct core core;
};

struct file {
  struct {
    uint64_t magic, layout, size, cluster, self;
    char boot_id[40];
  } head;
  uint64_t current;
  struct slot slot[2];
};

static struct core kept[KEPT_MAX];
static char path[128];

static struct reign *opened(void) {
  struct reign *reign;
  return reign_open(&reign, path, CLUSTER, VOTER_A) == 0 ? reign : NULL;
}

static unsigned keep_some(struct input *input) {
  static const char *const brokers[] = {"", "one", "a name of as many bytes as there is room for it, or so"};
  struct reign *reign = opened();
  unsigned count = input_below(input, KEPT_MAX + 1);
  assert(reign != NULL);
  for (unsigned i = 0; i < count; i++) {
    memset(&kept[i], 0, sizeof kept[i]);
    kept[i].role = ROLE_MASTER;
    kept[i].reign = input_u8(input);
    kept[i].seq = i;
    reign_broker(reign, brokers[input_below(input, 3)]);
    reign_keep(reign, &kept[i], (struct instant){input_u8(input)});
  }
  if (input_u8(input) % 8 == 0)
    reign_forget(reign);
  reign_close(reign);
  return count;
}

/* Returns whether the checksums were put right. */
static bool harm(struct input *input) {
  static struct file file;
  uint8_t bits = input_u8(input);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  ssize_t got = read(fd, &file, sizeof file);
  assert(got == (ssize_t)sizeof file);
  uint16_t length = (bits & 2) != 0 ? input_u16(input) : 0;
  while (input->left >= 3) {
    size_t at = input_u16(input) % sizeof file;
    ((uint8_t *)&file)[at] ^= input_u8(input);
  }
  for (unsigned i = 0; i < 2 && (bits & 1) != 0; i++)
    file.slot[i].crc = crc32c(&file.slot[i].spare, sizeof file.slot[i] - offsetof(struct slot, spare));
  got = pwrite(fd, &file, sizeof file, 0);
  assert(got == (ssize_t)sizeof file);
  if ((bits & 2) != 0 && ftruncate(fd, length) != 0)
    abort();
  close(fd);
  return (bits & 1) != 0;
}

static bool was_kept(const struct core *core, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (memcmp(core, &kept[i], sizeof *core) == 0)
      return true;
  return false;
}

static void go_on(struct reign *reign) {
  static struct core core, again;
  struct instant base;
  char broker[REIGN_BROKER_MAX];
  memset(&core, 0, sizeof core);
  core.reign = 1000;
  reign_broker(reign, "the next");
  reign_keep(reign, &core, (struct instant){9});
  reign_close(reign);
  reign = opened();
  assert(reign != NULL && reign_read(reign, &again, &base, broker));
  assert(memcmp(&core, &again, sizeof core) == 0 && base.us == 9 && strcmp(broker, "the next") == 0);
  reign_forget(reign);
  assert(!reign_read(reign, &again, &base, broker));
  reign_close(reign);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct core core;
  struct input input = {bytes, size};
  struct instant base;
  char broker[REIGN_BROKER_MAX];
  strcpy(path, input_file("orders.a.reign", "", 0));
  unsigned count = keep_some(&input);
  bool mended = harm(&input);
  struct reign *reign = opened();
  assert(reign != NULL);
  if (reign_read(reign, &core, &base, broker)) {
    assert(memchr(broker, 0, sizeof broker) != NULL);
    assert(mended || was_kept(&core, count));
  }
  go_on(reign);
  return 0;
}
