// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/input.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t take(struct input *input, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; i++) {
    value = value << 8 | (input->left > 0 ? *input->at : 0);
    input->at += input->left > 0;
    input->left -= input->left > 0;
  }
  return value;
}

uint8_t input_u8(struct input *input) {
  return (uint8_t)take(input, 1);
}
uint16_t input_u16(struct input *input) {
  return (uint16_t)take(input, 2);
}
uint32_t input_u32(struct input *input) {
  return (uint32_t)take(input, 4);
}
uint64_t input_u64(struct input *input) {
  return take(input, 8);
}
uint8_t input_below(struct input *input, uint8_t limit) {
  return (uint8_t)(input_u8(input) % limit);
}

size_t input_bytes(struct input *input, size_t size, const uint8_t **bytes) {
  size = size < input->left ? size : input->left;
  *bytes = input->at;
  input->at += size;
  input->left -= size;
  return size;
}

// ---- files ----

static char directory[64];

static void empty(void) {
  char path[400];
  DIR *files = opendir(directory);
  for (struct dirent *file; files != NULL && (file = readdir(files)) != NULL;) {
    snprintf(path, sizeof path, "%s/%s", directory, file->d_name);
    unlink(path);
  }
  if (files != NULL)
    closedir(files);
  rmdir(directory);
}

const char *input_directory(void) {
  static const char *const roots[] = {"/dev/shm", "/tmp"};
  for (size_t i = 0; i < 2 && directory[0] == 0; i++) {
    snprintf(directory, sizeof directory, "%s/tanist-fuzz.XXXXXX", roots[i]);
    if (mkdtemp(directory) == NULL)
      directory[0] = 0;
    else
      atexit(empty);
  }
  if (directory[0] == 0)
    abort();
  return directory;
}

const char *input_file(const char *name, const void *bytes, size_t size) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", input_directory(), name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
    abort();
  close(fd);
  return path;
}
