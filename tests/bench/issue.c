/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * issue: has a private CA issue as fast as it goes
 *
 *   issue [-t SECONDS] CA REQUEST N
 *
 * N clients, each on a connection of its own, one call after the other; each call asks for another name, so none is
 * a repeated one. Takes little of the cores, which the CA needs.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "measure.h"

#define CLIENTS_MAX 256

typedef struct Issue {
        Measure measure;
        const char *path;
        char request[16384];
        size_t request_len;
        sd_event *event;
        unsigned calls, under_way;
} Issue;

typedef struct Client {
        Issue *all;
        sd_bus *bus;
        double began;
} Client;

static void check(int r, const char *what)
{
        if (r < 0)
                errx(1, "%s: %s", what, strerror(-r));
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error);

static void ask(Client *c)
{
        sd_bus_message *m;
        char name[64];

        snprintf(name, sizeof(name), "bench-%d-%u", (int)getpid(), c->all->calls++);
        c->began = measure_now();
        check(sd_bus_message_new_method_call(c->bus, &m, "org.holdfast.Keystore1", c->all->path,
                                "org.holdfast.Keystore1.Authority", "Issue"),
                        "a message");
        check(sd_bus_message_append_array(m, 'y', c->all->request, c->all->request_len), "the request");
        check(sd_bus_message_append(m, "sa{sv}", "device", 1, "name", "s", name), "the options");
        check(sd_bus_call_async(c->bus, NULL, m, on_reply, c, 0), "the call");
        sd_bus_message_unref(m);
        c->all->under_way++;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Client *c = userdata;
        const sd_bus_error *refused = sd_bus_message_get_error(m);

        (void)error;
        if (refused)
                errx(1, "%s: %s", refused->name, refused->message);
        measure_call(&c->all->measure, c->began, 1);
        c->all->under_way--;
        if (measure_goes_on(&c->all->measure))
                ask(c);
        else if (c->all->under_way == 0)
                sd_event_exit(c->all->event, 0);
        return 1;
}

static void connect_to(Client *c, const char *socket)
{
        char address[256];

        snprintf(address, sizeof(address), "unix:path=%s", socket);
        check(sd_bus_new(&c->bus), "a bus");
        check(sd_bus_set_address(c->bus, address), "the address");
        check(sd_bus_set_bus_client(c->bus, true), "a client");
        check(sd_bus_start(c->bus), "the connection");
        check(sd_bus_attach_event(c->bus, c->all->event, 0), "the loop");
}

static void read_request(Issue *all, const char *path)
{
        FILE *f = fopen(path, "re");

        if (!f)
                err(1, "%s", path);
        all->request_len = fread(all->request, 1, sizeof(all->request), f);
        fclose(f);
}

int main(int argc, char **argv)
{
        static Issue all = {.measure.seconds = 1};
        static Client clients[CLIENTS_MAX];
        const char *socket = getenv("HOLDFAST_SOCKET");
        unsigned n;
        char *path;

        for (int c; (c = getopt(argc, argv, "t:")) != -1;)
                if (c != 't')
                        return 2;
                else
                        all.measure.seconds = atof(optarg);
        if (optind + 3 != argc || !socket || (n = (unsigned)atoi(argv[optind + 2])) < 1 || n > CLIENTS_MAX)
                errx(2, "issue [-t SECONDS] CA REQUEST N, and HOLDFAST_SOCKET");
        read_request(&all, argv[optind + 1]);
        check(sd_bus_path_encode("/org/holdfast/Keystore1/ca", argv[optind], &path), "the path");
        all.path = path;
        check(sd_event_default(&all.event), "a loop");
        for (unsigned i = 0; i < n; i++) {
                clients[i].all = &all;
                connect_to(&clients[i], socket);
        }
        measure_begin(&all.measure);
        for (unsigned i = 0; i < n; i++)
                ask(&clients[i]);
        check(sd_event_loop(all.event), "the loop");
        measure_end(&all.measure);
        for (unsigned i = 0; i < n; i++)
                sd_bus_flush_close_unref(clients[i].bus);
        sd_event_unref(all.event);
        free(path);
        return 0;
}
