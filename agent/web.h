// SPDX-License-Identifier: Apache-2.0
#ifndef TANIST_AGENT_WEB_H
#define TANIST_AGENT_WEB_H

struct agent;

// Listens where http.listen says, if it does. An address that cannot be had is told, in log and status, and
// no failure: -ENOMEM alone is.
int web_open(struct agent *);

extern const char web_page[]; // web_page.c: for people

#endif
