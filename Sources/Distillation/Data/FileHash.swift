import Basics
import Relevance

extension SHA256 {
  /// Of a file's bytes, in hexadecimal.
  ///
  /// - Throws: `fileUnavailable`.
  static func hash(file path: String) throws -> String {
    let file = try MappedFile(path: path)
    var hash = SHA256()
    withExtendedLifetime(file) { hash.update(file.bytes) }
    return hex(hash.finish())
  }
}
