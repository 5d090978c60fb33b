// SPDX-License-Identifier: Apache-2.0
// What a handle on the state page keeps; the library's own.
#ifndef TANIST_CLIENT_HANDLE_H
#define TANIST_CLIENT_HANDLE_H

#include "common/client/layout.h"

struct tanist {
  const struct page *page;
  int fd;
  int bell;                // inotify; -1 before tanist_fd
  char path[256];          // of the state page
  struct tanist_view told; // what tanist_next has told of
  bool deposed_due;        // a reign has ended and nobody was known to have taken over
  struct tanist_stamp stamp;
  struct page *report; // the broker's page; NULL before the first word
  int report_fd;
  int report_error;
  struct page_report said; // what stands there
  uint64_t commit, commit_epoch;
};

#endif
