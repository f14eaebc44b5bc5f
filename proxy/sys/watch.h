/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Something about these files or directories may have changed": inotify on the directories that
 * lead to them, so that replacing by rename, a swap of Kubernetes' "..data" link, deletion and
 * re-creation (of parents as well) are all noticed. A path need not exist yet. What changed is not
 * told: the caller reads everything again, which is what makes missed details harmless.
 */
#ifndef WEIR_SYS_WATCH_H
#define WEIR_SYS_WATCH_H

#include "base/err.h"

struct weir_watch;

/* 0 or -errno (EMFILE: the user's inotify limit). */
int weir_watch_new(struct weir_watch **ret_watch);
/* Takes NULL; returns NULL. */
struct weir_watch *weir_watch_free(struct weir_watch *watch);
/* A file, or a directory of which each entry counts (names beginning with "." do not, "..data"
 * does). One that is watched already stays so. 0 or -errno. */
int weir_watch_add(struct weir_watch *watch, const char *path);
/* Readable when there may be news: then call drain. Owned by the watch. */
int weir_watch_fd(const struct weir_watch *watch);
/*
 * Takes all pending events without blocking. True when a watched thing may have changed; the
 * watches already follow the new state then, so what is read after this call is either current or
 * announced again. A regular file just created counts only once its writer closes it.
 */
bool weir_watch_drain(struct weir_watch *watch);

#endif
