// SPDX-License-Identifier: Apache-2.0
// events and history: what happened, and who led.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ctl.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/text.h"

#define ASK_MS 3000 // a healthy daemon answers in a millisecond
#define FOR_EVER (-1)
#define EVENT_TEXT_MAX 4096

struct asked {
  const char *since; // by comparing texts: RFC 3339 in UTC sorts as time does; "" all
  uint64_t last;     // so many at most, the newest; 0: all
  bool follow;
  void (*print)(const struct ctl *, const struct json *);
};

static const char *text_of(const struct json *json, const char *key, char *buf, size_t size) {
  snprintf(buf, size, "%s", json_get_text(json, key, "-"));
  text_clean(buf, strlen(buf));
  return buf;
}

// ---- what is wanted ----

/* "90s", "10m", "2h", "3d" ago, or the beginning of a time as it is printed. False: neither. */
static bool since_text(const char *word, char buf[CLOCK_WALL_TEXT_SIZE]) {
  static const char units[] = "smhd";
  static const int64_t ms[] = {1000, 60000, 3600000, 86400000};
  char *end;
  int64_t count = strtoll(word, &end, 10);
  const char *unit = end != word && *end != 0 && end[1] == 0 ? strchr(units, *end) : NULL;
  if (unit != NULL && count >= 0 && count < 100000) {
    clock_wall_text(clock_wall_ms() - count * ms[unit - units], buf);
    return true;
  }
  size_t length = strspn(word, "0123456789-:.TZ");
  if (length < 10 || word[length] != 0 || length >= CLOCK_WALL_TEXT_SIZE || word[4] != '-' || word[7] != '-')
    return false;
  snprintf(buf, CLOCK_WALL_TEXT_SIZE, "%s", word);
  buf[length - (word[length - 1] == 'Z')] = 0;
  return true;
}

static int read_last(const struct ctl *ctl, const char *command, const char *word, uint64_t *last) {
  double number;
  if (word != NULL && !ctl_number(word, 1, 1000000, &number))
    return ctl_usage(ctl, command, "--last %s: a number of lines, from 1", word);
  *last = word != NULL ? (uint64_t)number : 0;
  return CTL_DONE;
}

// ---- printing ----

static void print_event(const struct ctl *ctl, const struct json *event) {
  char time[64], kind[32], sentence[EVENT_TEXT_MAX];
  if (ctl->json)
    ctl_print_json(ctl, event);
  else
    fprintf(ctl->out, "%s  %-8s %s\n", text_of(event, "time", time, sizeof time),
            text_of(event, "event", kind, sizeof kind),
            text_of(event, "sentence", sentence, sizeof sentence));
}

static const char *duration(int64_t ms, char *buf, size_t size) {
  if (ms < 60000)
    snprintf(buf, size, "%.1f s", (double)ms / 1000);
  else if (ms < 3600000)
    snprintf(buf, size, "%" PRId64 " min %" PRId64 " s", ms / 60000, ms / 1000 % 60);
  else if (ms < 86400000)
    snprintf(buf, size, "%" PRId64 " h %" PRId64 " min", ms / 3600000, ms / 60000 % 60);
  else
    snprintf(buf, size, "%" PRId64 " d %" PRId64 " h", ms / 86400000, ms / 3600000 % 24);
  return buf;
}

static void print_force(const struct ctl *ctl, const struct json *force) {
  char by[128], time[64], down[64], reason[EVENT_TEXT_MAX];
  if (force != NULL)
    fprintf(ctl->out, "      forced by %s on %s, who said that %s is down: \"%s\"\n",
            text_of(force, "by", by, sizeof by), text_of(force, "time", time, sizeof time),
            text_of(force, "confirmed_down", down, sizeof down),
            text_of(force, "reason", reason, sizeof reason));
}

static void print_reign(const struct ctl *ctl, const struct json *reign) {
  char master[64], from[64], to[64], how[32], why[EVENT_TEXT_MAX], took[32];
  if (ctl->json) {
    ctl_print_json(ctl, reign);
    return;
  }
  bool over = json_get_text(reign, "to", NULL) != NULL;
  fprintf(ctl->out, "epoch %" PRId64 ": %s, %s to %s (%s), %s at position %" PRId64 "\n",
          json_get_int(reign, "epoch", 0), text_of(reign, "master", master, sizeof master),
          text_of(reign, "from", from, sizeof from), over ? text_of(reign, "to", to, sizeof to) : "now",
          duration(json_get_int(reign, "duration_ms", 0), took, sizeof took),
          text_of(reign, "how", how, sizeof how), json_get_int(reign, "position", 0));
  print_force(ctl, json_get(reign, "forced"));
  if (over)
    fprintf(ctl->out, "      ended: %s\n", text_of(reign, "why", why, sizeof why));
}

// ---- asking, a page after the other ----

static struct json *copy_of(const struct json *request, uint64_t after, bool wait) {
  struct json *copy = ctl_request(json_get_text(request, "command", ""));
  if (json_get_text(request, "cluster", NULL) != NULL)
    json_put_text(copy, "cluster", json_get_text(request, "cluster", NULL));
  json_put_uint(copy, "after", after);
  json_put_bool(copy, "wait", wait);
  return copy;
}

/* What is printed of one page: with --last the first pass only counts. */
static void print_page(const struct ctl *ctl, const struct json *list, const struct asked *asked,
                       const char *time_key, uint64_t *skip) {
  for (size_t i = 0; i < json_count(list); i++) {
    const struct json *one = json_at(list, i);
    const char *time = json_get_text(one, time_key, NULL);
    if (time != NULL && strcmp(time, asked->since) < 0)
      continue;
    if (*skip > 0)
      (*skip)--;
    else
      asked->print(ctl, one);
  }
  fflush(ctl->out);
}

static uint64_t count_page(const struct json *list, const struct asked *asked, const char *time_key) {
  uint64_t count = 0;
  for (size_t i = 0; i < json_count(list); i++) {
    const char *time = json_get_text(json_at(list, i), time_key, NULL);
    count += time == NULL || strcmp(time, asked->since) >= 0;
  }
  return count;
}

/* All pages from `*after` on: counted, or printed but for the first `skip`. */
static int all_pages(const struct ctl *ctl, const struct json *request, const struct asked *asked,
                     const char *key, const char *time_key, uint64_t *after, uint64_t *count, uint64_t skip) {
  bool more = true;
  while (more) {
    struct json *reply;
    int code = ctl_ask(ctl, copy_of(request, *after, false), ASK_MS, &reply);
    if (code != CTL_DONE)
      return code;
    if (count != NULL)
      *count += count_page(json_get(reply, key), asked, time_key);
    else
      print_page(ctl, json_get(reply, key), asked, time_key, &skip);
    *after = (uint64_t)json_get_int(reply, "last", 0);
    more = json_get_bool(reply, "more", false);
    json_free(reply);
  }
  return CTL_DONE;
}

static int follow(const struct ctl *ctl, const struct json *request, const struct asked *asked,
                  uint64_t after) {
  for (;;) {
    struct json *reply;
    uint64_t none = 0;
    int code = ctl_ask(ctl, copy_of(request, after, true), FOR_EVER, &reply);
    if (code != CTL_DONE)
      return code;
    print_page(ctl, json_get(reply, "events"), asked, "time", &none);
    after = (uint64_t)json_get_int(reply, "last", (int64_t)after);
    json_free(reply);
    if (ferror(ctl->out)) /* nobody reads any more */
      return CTL_FAILED;
  }
}

static int show(const struct ctl *ctl, const struct json *request, const struct asked *asked, const char *key,
                const char *time_key) {
  uint64_t after = 0, count = 0, skip = 0;
  if (asked->last > 0) {
    int code = all_pages(ctl, request, asked, key, time_key, &after, &count, 0);
    if (code != CTL_DONE)
      return code;
    skip = count > asked->last ? count - asked->last : 0;
    after = 0;
  }
  int code = all_pages(ctl, request, asked, key, time_key, &after, NULL, skip);
  return code == CTL_DONE && asked->follow ? follow(ctl, request, asked, after) : code;
}

int ctl_events(struct ctl *ctl, int argc, char **argv) {
  const char *since = NULL, *last = NULL;
  char from[CLOCK_WALL_TEXT_SIZE] = "";
  struct asked asked = {.since = from, .print = print_event};
  const struct ctl_option options[] = {{"--follow", NULL, &asked.follow},
                                       {"--since", &since, NULL},
                                       {"--last", &last, NULL},
                                       {NULL, NULL, NULL}};
  struct json *request = ctl_request(argv[0]);
  int code = ctl_cluster_options(ctl, argc, argv, options, request);
  if (code == CTL_DONE && since != NULL && !since_text(since, from))
    code = ctl_usage(ctl, argv[0],
                     "--since %s: a time as 2026-11-21T09:30, in UTC, or so long ago as 90s, 10m, 2h, 3d",
                     since);
  if (code == CTL_DONE)
    code = read_last(ctl, argv[0], last, &asked.last);
  if (code == CTL_DONE)
    code = show(ctl, request, &asked, "events", "time");
  json_free(request);
  return code;
}

int ctl_history(struct ctl *ctl, int argc, char **argv) {
  const char *last = NULL;
  struct asked asked = {.since = "", .print = print_reign};
  const struct ctl_option options[] = {{"--last", &last, NULL}, {NULL, NULL, NULL}};
  struct json *request = ctl_request(argv[0]);
  int code = ctl_cluster_options(ctl, argc, argv, options, request);
  if (code == CTL_DONE)
    code = read_last(ctl, argv[0], last, &asked.last);
  if (code == CTL_DONE)
    code = show(ctl, request, &asked, "history", "from");
  json_free(request);
  return code;
}
