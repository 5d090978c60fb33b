// SPDX-License-Identifier: Apache-2.0
#include "common/base/path_watch.h"

#include <stdio.h>

static void tell(const struct endpoint_path *path, const char *voter, struct events *events,
                 path_watch_fn *changed, void *arg) {
  static const char *const meaning[] = {[PATH_UP] = "up, both ways",
                                        [PATH_DOWN] = "down",
                                        [PATH_DEAF] = "deaf: we are heard there, and hear nothing",
                                        [PATH_MUTE] = "mute: we hear, and are not heard there"};
  char peer[NET_ADDRESS_TEXT_SIZE], own[NET_ADDRESS_TEXT_SIZE], sentence[SENTENCE_MAX];
  net_address_format(&path->peer, peer);
  net_address_format(&path->own, own);
  struct json *event = events_new(events, "path", path_state_name(path->state));
  json_put_text(event, "voter", voter);
  json_put_text(event, "address", peer);
  json_put_text(event, "own_address", own);
  snprintf(sentence, sizeof sentence, "the path from %s to %s at %s is %s", own, voter, peer,
           meaning[path->state]);
  changed(arg, event, path->state == PATH_UP ? LOG_INFO : LOG_NOTICE, sentence);
}

void path_watch_look(struct path_watch *w, const struct endpoint *endpoint, const struct cluster_conf *conf,
                     unsigned self, struct events *events, path_watch_fn *changed, void *arg) {
  for (unsigned i = 0; i < VOTERS; i++) {
    for (unsigned k = 0; i != self && k < endpoint_paths(endpoint, (uint8_t)i); k++) {
      struct endpoint_path path = endpoint_path(endpoint, (uint8_t)i, k);
      uint8_t now = (uint8_t)(path.state + 1), told = w->at[i][k].told;
      bool steady = w->at[i][k].newest == now;
      w->at[i][k].newest = now;
      if (!path.present || !steady || now == told || (told == 0 && path.state == PATH_DOWN))
        continue;
      w->at[i][k].told = now;
      tell(&path, conf->voter[i].name, events, changed, arg);
    }
  }
}
