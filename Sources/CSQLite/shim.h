#pragma once
#include <sqlite3.h>

/// Binds a text that SQLite copies: the macro SQLITE_TRANSIENT is a cast that Swift does not import.
static inline int rk_sqlite_bind_text(sqlite3_stmt *statement, int index, const char *text, int bytes) {
  return sqlite3_bind_text(statement, index, text, bytes, SQLITE_TRANSIENT);
}
