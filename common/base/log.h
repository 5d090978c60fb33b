// SPDX-License-Identifier: Apache-2.0
// Lines to stderr: with the journal's <N> prefixes where JOURNAL_STREAM says that stderr is the journal, else with
// the local time. Only agent/ and witness/ log; libraries return errors.
#ifndef TANIST_BASE_LOG_H
#define TANIST_BASE_LOG_H

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 }; // syslog's numbers

void log_open(const char *program);      // reads JOURNAL_STREAM and TANIST_LOG (error, warning, notice, info, debug)
void log_line(enum log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
