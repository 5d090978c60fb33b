// SPDX-License-Identifier: Apache-2.0
// A fuzz target without a fuzzer: fuzz_NAME FILE|DIRECTORY... plays kept inputs, one after the other. What is
// wrong ends the process, as under libFuzzer; the input it was is told before. Ends with 'N passed, 0
// failed'.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static unsigned played;

static void play(const char *path) {
  struct stat at;
  FILE *file = fopen(path, "re");
  if (file == NULL || fstat(fileno(file), &at) != 0) {
    perror(path);
    exit(1);
  }
  /* of its very size, so that a sanitizer sees who reads past the end */
  uint8_t *bytes = malloc((size_t)at.st_size);
  size_t size = bytes == NULL ? 0 : fread(bytes, 1, (size_t)at.st_size, file);
  fclose(file);
  printf("%s\r", path);
  fflush(stdout);
  LLVMFuzzerTestOneInput(bytes, size);
  free(bytes);
  played++;
}

static int is_input(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static void play_all(const char *directory) {
  char path[4096];
  struct dirent **entries;
  int count = scandir(directory, &entries, is_input, alphasort);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
    play(path);
    free(entries[i]);
  }
  if (count >= 0)
    free(entries);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    struct stat at;
    if (stat(argv[i], &at) == 0 && S_ISDIR(at.st_mode))
      play_all(argv[i]);
    else
      play(argv[i]);
  }
  if (played == 0) {
    fprintf(stderr, "no input: name files or directories of them\n");
    return 1;
  }
  printf("\n%u passed, 0 failed\n", played);
  return 0;
}
