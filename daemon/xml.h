/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The interface files of dbus/, embedded by daemon/embed-xml.py. */
extern const char xml_manager[], xml_key[], xml_identity[], xml_authority[], xml_audit[], xml_doctype[];
