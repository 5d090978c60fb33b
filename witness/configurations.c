// SPDX-License-Identifier: Apache-2.0
// The configurations of a witness: files, and directories of them.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/http.h"
#include "witness/witness.h"

#define ERROR_SIZE 512

/* The first error is kept, for status. */
static void note(struct witness *w, const char *error) {
  if (w->trouble[0] == 0)
    snprintf(w->trouble, sizeof w->trouble, "%s", error);
}

static int add_file(struct witness *w, const char *path) {
  struct witnessed *one = calloc(1, sizeof *one);
  struct conf_errors *errors = calloc(1, sizeof *errors);
  struct witnessed **more = realloc(w->at, (w->count + 1) * sizeof(struct witnessed *));
  w->at = more != NULL ? more : w->at;
  int rc = one == NULL || errors == NULL || more == NULL ? -ENOMEM : cluster_load(&one->conf, path, errors);
  if (rc != 0 && errors != NULL) {
    cluster_print_errors(stderr, errors);
    note(w, errors->count > 0 ? errors->at[0].text : "out of memory");
  }
  free(errors);
  for (size_t i = 0; rc == 0 && i < w->count; i++) {
    if (strcmp(w->at[i]->conf.name, one->conf.name) != 0)
      continue;
    char text[ERROR_SIZE];
    snprintf(text, sizeof text,
             "%s:1: cluster \"%s\" has a configuration already; allowed: one file a cluster", path,
             one->conf.name);
    fprintf(stderr, "%s\n", text);
    note(w, text);
    cluster_free(&one->conf);
    rc = -EINVAL;
  }
  if (rc != 0) {
    free(one);
    return rc;
  }
  one->witness = w;
  w->at[w->count++] = one;
  return 0;
}

static int is_configuration(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int add_directory(struct witness *w, const char *directory) {
  struct dirent **entries;
  char path[1024];
  int rc = 0, count = scandir(directory, &entries, is_configuration, alphasort);
  if (count < 0) {
    rc = -errno;
    note(w, directory);
    return rc;
  }
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
    int one = add_file(w, path); /* all errors are told, not the first alone */
    rc = rc != 0 ? rc : one;
    free(entries[i]);
  }
  free(entries);
  return rc;
}

int witness_read(struct witness *w) {
  const struct witness_options *options = w->options;
  int rc = 0;
  for (size_t i = 0; i < options->file_count; i++) {
    struct stat at;
    bool directory = stat(options->file[i], &at) == 0 && S_ISDIR(at.st_mode);
    int one = directory ? add_directory(w, options->file[i]) : add_file(w, options->file[i]);
    rc = rc != 0 ? rc : one;
  }
  return rc;
}

void witness_forget_one(struct witnessed *one) {
  http_close(one->http);
  runner_close(one->runner);
  marks_close(one->marks);
  events_close(one->events);
  history_close(one->history);
  cluster_free(&one->conf);
  free(one);
}

void witness_forget(struct witness *w) {
  for (size_t i = 0; i < w->count; i++)
    witness_forget_one(w->at[i]);
  free(w->at);
}

int witness_check(const struct witness_options *options) {
  struct witness w = {.options = options};
  int rc = witness_read(&w);
  witness_forget(&w);
  return rc == 0 ? 0 : 2;
}
