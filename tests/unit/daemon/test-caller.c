/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is it: what the kernel says of real peers under several users, and what a cgroup path proves. */
#include "daemon/caller.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/daemon/support.h"

/* ---- the unit in a cgroup path ---- */

static const struct {
        const char *text, *unit;
} cgroups[] = {
                {"0::/system.slice/nginx.service\n", "nginx.service"},
                {"0::/system.slice/nginx.service", "nginx.service"},
                {"0::/system.slice/system-web.slice/web@a.service\n", "web@a.service"},
                {"0::/init.scope\n", "init.scope"},
                {"0::/user.slice/user-1000.slice/session-2.scope\n", "session-2.scope"},
                /* a process in a group of the unit's own making is still the unit's */
                {"0::/system.slice/nginx.service/workers\n", "nginx.service"},
                /* v1, and v1 beside v2 */
                {"9:pids:/x\n1:name=systemd:/system.slice/a.service\n", "a.service"},
                {"4:memory:/system.slice/wrong.service\n1:name=systemd:/system.slice/a.service\n0::/\n",
                                "a.service"},
                {"4:memory:/system.slice/wrong.service\n0::/system.slice/a.service\n", "a.service"},
                {"3:cpu:/nginx.service\n2:name=systemd:/\n0::/\n", ""},

                /* whoever was given a part of the tree names groups in it as he likes: only the unit that
                 * systemd itself placed there counts */
                {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n",
                                "user@1000.service"},
                {"0::/system.slice/docker-1f.scope/system.slice/nginx.service\n", "docker-1f.scope"},
                {"0::/system.slice/mine.service/nginx.service\n", "mine.service"},
                {"0::/machine.slice/nginx.service.d/nginx.service\n", ""},
                {"0::/lxc/box/system.slice/nginx.service\n", ""},
                {"0::/../../system.slice/nginx.service\n", ""},

                /* another hierarchy does not pose as systemd's */
                {"0::/:name=systemd:/nginx.service\n", ""},
                {"4:memory:/x:name=systemd:/system.slice/nginx.service\n0::/system.slice/a.service\n",
                                "a.service"},
                {"4:memory,name=systemd:/system.slice/nginx.service\n", ""},
                {"7:pids:/a/0::/nginx.service\n", ""},
                {"10::/nginx.service\n", ""},

                /* no unit, and no line */
                {"0::/\n", ""},
                {"0::/system.slice\n", ""},
                {"0::/a.slice/b.slice\n", ""},
                {"0::/.service\n", ""},
                {"0::/system.slice/.scope\n", ""},
                {"0::/nginx.services\n", ""},
                {"0::/nginx.servic\n", ""},
                {"0:://nginx.service\n", ""},
                {"0::\n/nginx.service\n", ""},
                {"nginx.service\n", ""},
                {"name=systemd:/a.service", ""},
                {"\n\n", ""},
                {"0:", ""},
                {":::", ""},
                {"", ""},
};

static void test_the_unit_is_the_one_that_systemd_placed(void **state)
{
        char unit[256];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cgroups); i++) {
                strcpy(unit, "left over");
                caller_unit_of_cgroup(cgroups[i].text, unit, sizeof(unit));
                if (strcmp(unit, cgroups[i].unit))
                        fail_msg("%s gave `%s`, not `%s`", cgroups[i].text, unit, cgroups[i].unit);
        }
}

static void test_a_name_that_does_not_fit_is_no_unit(void **state)
{
        char unit[14] = "left over";

        (void)state;
        caller_unit_of_cgroup("0::/system.slice/nginx.service\n", unit, sizeof(unit));
        assert_string_equal(unit, "nginx.service");
        caller_unit_of_cgroup("0::/system.slice/nginx2.service\n", unit, sizeof(unit));
        assert_string_equal(unit, "");
}

/* ---- real peers ---- */

typedef struct Peer {
        Sandbox box;
        char path[96];
        int listener, connection;
        pid_t pid;
        int hold; /* the child lives until this is closed */
} Peer;

static void listen_for(Peer *p)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};

        sandbox_make(&p->box);
        assert_int_equal(chmod(p->box.path, 0755), 0);
        snprintf(p->path, sizeof(p->path), "%s/socket", p->box.path);
        strcpy(sa.sun_path, p->path);
        p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(p->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
        assert_int_equal(chmod(p->path, 0666), 0);
        assert_int_equal(listen(p->listener, 4), 0);
}

typedef struct Role {
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t n_groups;
        const char *procs; /* the cgroup.procs of a group to go to, or NULL */
} Role;

/* As the child, from here on: exits with a number that says which step failed. */
static void play(const Role *role, const char *path, int hold)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char c;

        strcpy(sa.sun_path, path);
        if (role->procs) {
                FILE *f = fopen(role->procs, "w");

                if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f))
                        _exit(2);
        }
        if (role->uid != getuid() && (setgroups(role->n_groups, role->groups) < 0 ||
                                                     setresgid(role->gid, role->gid, role->gid) < 0 ||
                                                     setresuid(role->uid, role->uid, role->uid) < 0))
                _exit(3);
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
                _exit(4);
        (void)!read(hold, &c, 1);
        _exit(0);
}

static void peer_start(Peer *p, const Role *role)
{
        int hold[2];

        listen_for(p);
        assert_int_equal(pipe(hold), 0);
        p->pid = fork();
        assert_true(p->pid >= 0);
        if (p->pid == 0) {
                close(hold[1]);
                play(role, p->path, hold[0]);
        }
        close(hold[0]);
        p->hold = hold[1];
        p->connection = accept(p->listener, NULL, NULL);
        assert_true(p->connection >= 0);
}

static void peer_end(Peer *p)
{
        int status = -1;

        p->hold = safe_close(p->hold);
        if (p->pid > 0) {
                assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
                assert_int_equal(status, 0);
        }
        p->pid = 0;
}

static void peer_stop(Peer *p)
{
        peer_end(p);
        safe_close(p->connection);
        safe_close(p->listener);
        sandbox_remove(&p->box);
}

static void test_a_peer_is_who_the_kernel_says_it_is(void **state)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        gid_t groups[256];
        int fds[2], n;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(caller_from_socket(fds[0], "/run/holdfast/bus", &c), 0);
        assert_int_equal(c->uid, getuid());
        assert_int_equal(c->gid, getgid());
        assert_int_equal(c->pid, getpid());
        assert_true(c->direct);
        assert_string_equal(c->socket, "/run/holdfast/bus");
        n = getgroups(ELEMENTSOF(groups), groups);
        assert_int_equal(c->n_groups, n);
        assert_memory_equal(c->groups, groups, n * sizeof(gid_t));
        close(fds[0]);
        close(fds[1]);
}

static void check_somebody(uid_t uid, gid_t gid, size_t n_groups)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        _cleanup_free_ gid_t *groups = calloc(n_groups + 1, sizeof(gid_t));
        Peer p = {0};

        for (size_t i = 0; i < n_groups; i++)
                groups[i] = 50000 + (gid_t)i;
        peer_start(&p, &(Role){.uid = uid, .gid = gid, .groups = groups, .n_groups = n_groups});
        assert_int_equal(caller_from_socket(p.connection, p.path, &c), 0);
        assert_int_equal(c->uid, uid);
        assert_int_equal(c->gid, gid);
        assert_int_equal(c->pid, p.pid);
        assert_int_equal(c->n_groups, n_groups);
        for (size_t i = 0; i < n_groups; i++)
                assert_int_equal(c->groups[i], groups[i]);
        assert_string_equal(c->socket, p.path);
        peer_stop(&p);
}

static void test_other_users_are_told_apart_with_all_their_groups(void **state)
{
        (void)state;
        if (getuid() != 0)
                skip();
        check_somebody(1001, 1001, 0);
        check_somebody(1002, 100, 3);
        check_somebody(65533, 65533, 32);
        check_somebody(1003, 1003, 33); /* more than are asked for at first */
        check_somebody(1004, 1004, 5000);
}

static void test_a_peer_that_has_gone_is_still_its_user_but_no_unit(void **state)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        Peer p = {0};

        (void)state;
        peer_start(&p, &(Role){.uid = getuid(), .gid = getgid()});
        peer_end(&p);
        assert_int_equal(caller_from_socket(p.connection, p.path, &c), 0);
        assert_int_equal(c->uid, getuid());
        assert_null(c->unit);
        peer_stop(&p);
}

/* Where the test may make a group in systemd's tree it can be a unit; "" where it may not. */
static void make_group(char ret[static 128], const char *name)
{
        static const char *const trees[] = {"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"};
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(trees) && getuid() == 0; i++) {
                snprintf(ret, 128, "%s/cgroup.procs", trees[i]);
                if (stat(ret, &st) < 0)
                        continue;
                snprintf(ret, 128, "%s/%s", trees[i], name);
                if (mkdir(ret, 0755) == 0)
                        return;
        }
        ret[0] = '\0';
}

static void test_a_unit_is_proven_by_the_peers_own_cgroup(void **state)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        char name[64], group[128], procs[160];
        Peer p = {0};
        int r;

        (void)state;
        snprintf(name, sizeof(name), "holdfast-test-%d.service", (int)getpid());
        make_group(group, name);
        if (!group[0])
                skip();
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
        peer_start(&p, &(Role){.uid = 1001, .gid = 1001, .procs = procs});
        r = caller_from_socket(p.connection, p.path, &c);
        peer_stop(&p);
        assert_int_equal(rmdir(group), 0);
        assert_int_equal(r, 0);
        assert_non_null(c->unit);
        assert_string_equal(c->unit, name);
}

static void test_what_is_no_unix_peer_is_nobody(void **state)
{
        Caller *c = NULL;
        int fd;

        (void)state;
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(caller_from_socket(fd, "x", &c), -EPERM);
        close(fd);
        fd = open("/dev/null", O_RDONLY);
        assert_int_equal(caller_from_socket(fd, "x", &c), -ENOTSOCK);
        close(fd);
        assert_int_equal(caller_from_socket(-EBADF, "x", &c), -EBADF);
        assert_null(c);
}

/* ---- the system bus ---- */

static void test_a_caller_on_the_bus_is_what_the_bus_says_and_has_no_unit(void **state)
{
        static const gid_t groups[] = {4, 900};
        _cleanup_(caller_unrefp) Caller *c = NULL;

        (void)state;
        assert_int_equal(caller_from_bus(1001, 100, 4711, groups, 2, &c), 0);
        assert_false(c->direct);
        assert_int_equal(c->uid, 1001);
        assert_int_equal(c->gid, 100);
        assert_int_equal(c->n_groups, 2);
        assert_memory_equal(c->groups, groups, sizeof(groups));
        assert_null(c->unit);
        assert_null(c->label);
        assert_string_equal(c->socket, "system-bus");
}

static void test_a_caller_without_user_or_with_too_many_groups_is_refused(void **state)
{
        _cleanup_free_ gid_t *many = calloc(CALLER_GROUPS_MAX + 1, sizeof(gid_t));
        Caller *c = NULL;

        (void)state;
        assert_int_equal(caller_from_bus((uid_t)-1, 0, 1, NULL, 0, &c), -EPERM);
        assert_int_equal(caller_from_bus(1, 0, 1, many, CALLER_GROUPS_MAX + 1, &c), -E2BIG);
        assert_null(c);
        assert_int_equal(caller_from_bus(1, 0, 1, many, CALLER_GROUPS_MAX, &c), 0);
        assert_null(caller_unref(c));
}

static void test_a_caller_lives_as_long_as_somebody_holds_it(void **state)
{
        Caller *c = NULL;

        (void)state;
        assert_int_equal(caller_from_bus(7, 7, 7, NULL, 0, &c), 0);
        assert_ptr_equal(caller_ref(c), c);
        assert_null(caller_unref(c));
        assert_int_equal(c->uid, 7);
        assert_null(caller_unref(c));
        assert_null(caller_unref(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_the_unit_is_the_one_that_systemd_placed),
                        cmocka_unit_test(test_a_name_that_does_not_fit_is_no_unit),
                        cmocka_unit_test(test_a_peer_is_who_the_kernel_says_it_is),
                        cmocka_unit_test(test_other_users_are_told_apart_with_all_their_groups),
                        cmocka_unit_test(test_a_peer_that_has_gone_is_still_its_user_but_no_unit),
                        cmocka_unit_test(test_a_unit_is_proven_by_the_peers_own_cgroup),
                        cmocka_unit_test(test_what_is_no_unix_peer_is_nobody),
                        cmocka_unit_test(test_a_caller_on_the_bus_is_what_the_bus_says_and_has_no_unit),
                        cmocka_unit_test(test_a_caller_without_user_or_with_too_many_groups_is_refused),
                        cmocka_unit_test(test_a_caller_lives_as_long_as_somebody_holds_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
