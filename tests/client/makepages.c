// SPDX-License-Identifier: Apache-2.0
// makepages STATE REPORT: the two pages as an agent leaves them whose node leads in epoch 4, alone on record.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/client/layout.h"

int main(int argc, char **argv) {
  struct page_head head = {.magic = PAGE_STATE_MAGIC, .layout = PAGE_LAYOUT, .cluster = {1, 2, 3}};
  struct page_state state = {.epoch = 4,
                             .role = TANIST_MASTER,
                             .reign = 4,
                             .lease_end_ns = TANIST_LEASE_SOLE,
                             .admitted = PAGE_ANYBODY,
                             .masterships = 1,
                             .need = TANIST_NEED(0),
                             .master_epoch = 4,
                             .duty_serial = 1,
                             .duty_mode = TANIST_LEAD,
                             .duty_epoch = 4,
                             .alive_until_ns = UINT64_MAX,
                             .master_address = "10.0.0.1:7777"};
  struct page *page, *report;
  int fd, report_fd;
  if (argc != 3 || page_boot_id(head.boot_id) != 0 || page_make(&page, &fd, argv[1], &head, 0644) != 0)
    return 1;
  head.magic = PAGE_REPORT_MAGIC;
  if (page_make(&report, &report_fd, argv[2], &head, 0600) != 0)
    return 1;
  page_write(page, &state, PAGE_WORDS(struct page_state));
  return 0;
}
