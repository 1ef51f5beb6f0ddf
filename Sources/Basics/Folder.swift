import Foundation

/// Folders that a command writes to.
public enum Folder {
  /// Makes a folder and those above it, where they are not there yet.
  ///
  /// - Throws: `fileUnavailable`, naming what is in the way.
  public static func make(_ path: String) throws {
    var place = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      place += part
      if mkdir(place, 0o755) != 0, !isFolder(place) {
        throw unavailable(place, String(cString: strerror(errno)))
      }
      place += "/"
    }
    guard !place.isEmpty else { throw unavailable(path, "the name is empty") }
  }

  /// Refuses a folder that could neither be made nor written to, and makes nothing.
  ///
  /// - Throws: `fileUnavailable`, naming what is in the way.
  public static func checkWritable(_ path: String) throws {
    guard !path.isEmpty else { throw unavailable(path, "the name is empty") }
    var place = path
    var info = stat()
    while stat(place, &info) != 0 {
      guard errno == ENOENT else { throw unavailable(place, String(cString: strerror(errno))) }
      guard let slash = place.dropLast(place.hasSuffix("/") ? 1 : 0).lastIndex(of: "/") else {
        place = "."
        continue
      }
      place = slash == place.startIndex ? "/" : String(place[..<slash])
    }
    guard info.st_mode & S_IFMT == S_IFDIR else { throw unavailable(place, "it is not a folder") }
    guard access(place, W_OK | X_OK) == 0 else { throw unavailable(place, String(cString: strerror(errno))) }
  }

  private static func isFolder(_ path: String) -> Bool {
    let failure = errno
    defer { errno = failure }
    var info = stat()
    return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
  }

  private static func unavailable(_ path: String, _ reason: String) -> RetortError {
    RetortError(
      .fileUnavailable, "cannot write to the folder: \(reason)", file: path,
      remedy: "Choose a folder that you may write to.")
  }
}
