import Foundation

/// How far a job is.
public struct JobProgress: Sendable, Equatable {
  /// Rows finished, with those of earlier runs.
  public var done = 0
  public var failed = 0
  /// Rows of the job; an estimate until the input has been read to its end.
  public var total = 0
  /// Rows finished in this run.
  public var finishedNow = 0
  /// Tokens generated in this run.
  public var tokensNow = 0
  /// How many of those were fixed text, put in without sampling.
  public var jumpedNow = 0
  /// Rationales of this run that were cut at the limit of their length.
  public var truncatedNow = 0
  /// Seconds since this run began.
  public var seconds = 0.0
  /// How often each label was given, with earlier runs.
  public var labels: [String: Int] = [:]

  public init() {}

  public var finished: Int { done + failed }
  public var pairsPerSecond: Double { seconds > 0 ? Double(finishedNow) / seconds : 0 }
  public var tokensPerSecond: Double { seconds > 0 ? Double(tokensNow) / seconds : 0 }

  /// Seconds until the end at this run's rate, or nil while there is none.
  public var secondsLeft: Double? {
    guard finishedNow > 0, seconds > 0 else { return nil }
    return Double(max(0, total - finished)) / pairsPerSecond
  }

  /// `8.10 pairs/s, 950 tokens/s, exact 12, partial 3`
  public var note: String {
    var parts = [String(format: "%.2f pairs/s", pairsPerSecond)]
    if tokensNow > 0 { parts.append(String(format: "%.0f tokens/s", tokensPerSecond)) }
    let order = labels.sorted { $0.value == $1.value ? $0.key < $1.key : $0.value > $1.value }
    parts += order.prefix(5).map { "\($0.key) \($0.value)" }
    if failed > 0 { parts.append("\(failed) failed") }
    return parts.joined(separator: ", ")
  }

  /// A line for logs: `120/5000 pairs, 8.10 pairs/s, 950 tokens/s, …, 10:02 left`.
  public var line: String {
    var text = "\(finished)/\(max(total, finished)) pairs, \(note)"
    if let secondsLeft, total > finished { text += ", \(JobProgress.clock(secondsLeft)) left" }
    return text
  }

  static func clock(_ seconds: Double) -> String {
    let whole = Int(min(max(seconds, 0), 1e9).rounded())
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
  }
}
