// SPDX-License-Identifier: Apache-2.0
// watch: the screen of status, live.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/ctl.h"
#include "common/base/clock.h"
#include "common/base/json.h"

#define ASK_MS 1000
#define CLEAR "\033[H\033[2J\033[3J"

/* One look; when the agent answers no more that is what there is to see. */
static int look(const struct ctl *ctl, bool screen) {
  char time[CLOCK_WALL_TEXT_SIZE];
  struct json *reply;
  if (screen)
    fputs(CLEAR, ctl->out);
  if (!ctl->json)
    fprintf(ctl->out, "%s\n", clock_wall_text(clock_wall_ms(), time));
  int code = ctl_ask(ctl, ctl_request("status"), ASK_MS, &reply);
  if (code != CTL_DONE)
    return code;
  const struct json *status = json_get(reply, "status");
  if (ctl->json)
    ctl_print_json(ctl, status);
  else
    ctl_render_status(ctl->out, status);
  json_free(reply);
  return CTL_DONE;
}

static void pause_s(double seconds) {
  struct timespec time = {.tv_sec = (time_t)seconds};
  time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
  while (nanosleep(&time, &time) != 0 && errno == EINTR)
    ;
}

int ctl_watch(struct ctl *ctl, int argc, char **argv) {
  const char *every_text = "1", *count_text = "0";
  double every, count;
  const struct ctl_option options[] = {
      {"--every", &every_text, NULL}, {"--count", &count_text, NULL}, {NULL, NULL, NULL}};
  int code = ctl_options(ctl, argc, argv, options, NULL);
  if (code != CTL_DONE)
    return code;
  if (!ctl_number(every_text, 0.1, 3600, &every))
    return ctl_usage(ctl, argv[0], "--every %s: seconds, from 0.1 to 3600", every_text);
  if (!ctl_number(count_text, 0, 1e9, &count))
    return ctl_usage(ctl, argv[0], "--count %s: how often, 0 for ever", count_text);
  bool seen = false, screen = !ctl->json && isatty(fileno(ctl->out));
  for (double done = 1;; done++) {
    code = look(ctl, screen);
    fflush(ctl->out);
    bool never = code != CTL_DONE && !seen; /* nobody was there to begin with */
    seen |= code == CTL_DONE;
    if (never || ferror(ctl->out) || (count > 0 && done >= count))
      return code;
    pause_s(every);
  }
}
