/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Listening sockets for everybody
 *
 * A stream socket with mode 0666 from the moment it is there; what anybody may do on it is decided for each call. A socket
 * of the same name is replaced, anything else of that name is left.
 */

/* The directories that path lies in: made with mode 0755 where they are missing. -EPERM: one of them belongs to somebody
 * besides root and us, or others could put something else in its place (they may write it, and it has no sticky bit), or is
 * no directory; so a symlink is refused, too. -EINVAL: the path is not absolute. Else -errno. */
int listen_prepare(const char *path);
/* Does not block; closed on exec. 0 or -errno: -ENAMETOOLONG above 107 bytes, -EEXIST where something else is there. */
int listen_at(const char *path, int *ret);
