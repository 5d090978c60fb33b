// SPDX-License-Identifier: Apache-2.0
// A small durable file by its path (common/base/durable.h), made if there is none.
#ifndef TANIST_CLIENT_KEEP_H
#define TANIST_CLIENT_KEEP_H

#include "common/base/durable.h"

// 0 with what it holds in *content; content->size is 0 if it was made now. Errors as durable_open.
int keep_open(struct durable **, const char *path, const char *identity, struct durable_content *content);

// What was made or linked at `path` keeps that name over a crash of the machine: syncs the directory.
int keep_name(const char *path);

#endif
