// SPDX-License-Identifier: Apache-2.0
// A status object as OpenMetrics text (names tanist_…): one table, so that no metric says anything else than
// `tanist --json status` does.
#ifndef TANIST_BASE_METRICS_H
#define TANIST_BASE_METRICS_H

#include <stddef.h>

#include "common/base/json.h"

#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

// malloc'ed, with its final "# EOF"; NULL for want of memory. What the status does not know (null) is left
// out.
char *metrics_text(const struct json *status, size_t *size);

#endif
