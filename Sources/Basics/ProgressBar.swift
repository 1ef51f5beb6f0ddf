import Foundation

/// A progress bar on standard error; silent where that is not a terminal, so that logs stay clean.
public final class ProgressBar {
  private let title: String
  private let total: Int?
  private let isVisible: Bool
  private let first: Int
  private let start: UInt64
  private var lastDrawn: UInt64 = 0

  /// - Parameters:
  ///   - total: units of work; nil where unknown.
  ///   - startingAt: units that were done before and say nothing about the time left.
  ///   - elapsedSeconds: how long the work has gone on.
  public init(
    _ title: String, total: Int?, startingAt: Int = 0, elapsedSeconds: Double = 0, isEnabled: Bool = true
  ) {
    self.title = title
    self.total = total
    first = startingAt
    let now = DispatchTime.now().uptimeNanoseconds
    start = now &- min(now, UInt64(min(max(elapsedSeconds, 0), 1e9) * 1e9))
    isVisible = isEnabled && isatty(STDERR_FILENO) != 0
  }

  /// Redraws at most ten times a second.
  public func update(_ done: Int, note: String = "") {
    guard isVisible else { return }
    let now = DispatchTime.now().uptimeNanoseconds
    guard now - lastDrawn > 100_000_000 || done == total else { return }
    lastDrawn = now
    let seconds = Double(now - start) / 1e9
    var line = "\r\u{1B}[K\(title) "
    if let total, total > 0 {
      let width = 30
      let filled = min(width, done * width / total)
      line += "▕" + String(repeating: "█", count: filled)
      line += String(repeating: " ", count: width - filled) + "▏ \(done)/\(total)"
      if done > first, done < total {
        line += " " + ProgressBar.clock(seconds * Double(total - done) / Double(done - first)) + " left"
      }
    } else {
      line += "\(done) " + ProgressBar.clock(seconds)
    }
    _ = StandardStream.write(line + (note.isEmpty ? "" : "  " + note), to: STDERR_FILENO)
  }

  /// Clears the line.
  public func finish() {
    guard isVisible else { return }
    _ = StandardStream.write("\r\u{1B}[K", to: STDERR_FILENO)
  }

  static func clock(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    let padded = whole % 60 < 10 ? "0\(whole % 60)" : "\(whole % 60)"
    return "\(whole / 60):\(padded)"
  }
}
