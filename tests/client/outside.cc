// SPDX-License-Identifier: Apache-2.0
// outside STATE-PAGE: the same header from C++, where a struct and a function share a name, and NULL is no int.
#include <tanist.h>

#include <cstdio>
#include <memory>
#include <vector>

namespace {

struct close_page {
  void operator()(struct tanist *t) const { tanist_close(t); }
};

bool follows(struct tanist *t) {
  struct tanist_view view;
  struct tanist_change change;
  std::vector<tanist_change_type> told;
  if (::tanist_view(t, &view) != 0 || tanist_fd(t) < 0)
    return false;
  while (tanist_next(t, &change) == 1)
    told.push_back(change.type);
  return view.reign == 4 && view.duty_mode == TANIST_LEAD && told.size() == 2 && told[0] == TANIST_PROMOTED &&
         told[1] == TANIST_DUTY;
}

bool stamps(struct tanist *t) {
  struct tanist_stamp stamp;
  uint8_t bytes[TANIST_STAMP_SIZE];
  if (::tanist_stamp(t, &stamp) != 0)
    return false;
  tanist_stamp_encode(&stamp, bytes);
  return sizeof stamp == TANIST_STAMP_SIZE && bytes[15] == 4 && stamp.serial == 1;
}

} // namespace

int main(int argc, char **argv) {
  struct tanist *t = nullptr;
  int rc = argc == 2 ? tanist_open(&t, argv[1]) : -1;
  if (rc != 0) {
    std::fprintf(stderr, "tanist_open: %d\n", rc);
    return 1;
  }
  std::unique_ptr<struct tanist, close_page> page(t);
  return follows(t) && stamps(t) ? 0 : 1;
}
