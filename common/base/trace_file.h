// SPDX-License-Identifier: Apache-2.0
// The file of --trace: what one core is told and answers, appended step by step (trace.h). A file holds any
// number of runs, one behind the other.
#ifndef TANIST_BASE_TRACE_FILE_H
#define TANIST_BASE_TRACE_FILE_H

#include "common/base/trace.h"

struct trace_file;

// Opens it for appending and writes the line "start". 0, or a negative errno, then *out is NULL.
int trace_file_open(struct trace_file **out, const char *path, const struct trace_start *);
// L10: opens it for what follows on a run that another process traced, with the line "resumed T": the core goes on as
// it was after its event at `now`; what was traced behind that was not performed.
int trace_file_resume(struct trace_file **, const char *path, struct instant base, struct instant now);
// One step in one write, so that a crash leaves it whole or a cut end. What cannot be written (a full disk)
// is counted, and a line "lost N" takes its place as soon as something can be.
void trace_file_step(struct trace_file *, const struct event *, const struct actions *);
void trace_file_close(struct trace_file *); // NULL is allowed

#endif
