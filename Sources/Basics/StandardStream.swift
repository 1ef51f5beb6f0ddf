import Foundation

/// Writing to standard output and standard error without a trap where the reader is gone.
public enum StandardStream {
  /// Writes all of `text`; returns 0, or the `errno` of the write that failed.
  public static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { bytes in
      var start = 0
      while start < bytes.count {
        let count = Foundation.write(descriptor, bytes.baseAddress.map { $0 + start }, bytes.count - start)
        if count < 0 {
          if errno == EINTR || errno == EAGAIN { continue }
          return errno
        }
        start += count
      }
      return 0
    }
  }
}
