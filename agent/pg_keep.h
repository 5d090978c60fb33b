// SPDX-License-Identifier: Apache-2.0
// What a rejoin of PostgreSQL cuts off, kept as an orphan file: the WAL past the fork, as a tar archive in
// pieces. Run as a program of its own, since it reads and syncs what may be gigabytes.
#ifndef TANIST_AGENT_PG_KEEP_H
#define TANIST_AGENT_PG_KEEP_H

#define PG_KEEP_OPTION "--keep-wal"

// The arguments behind PG_KEEP_OPTION: the directory of the WAL, the timeline and position of the fork, the file
// to be made, the epoch that was left and the master's. Returns an exit status; what is wrong goes to stderr.
int pg_keep_main(int argc, char **argv);

#endif
