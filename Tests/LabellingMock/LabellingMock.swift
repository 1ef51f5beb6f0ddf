import Basics
import Foundation
import Labelling
import Relevance

/// A bulk job without a model: `generate ROWS FILE`, or
/// `run INPUT OUTPUT [delay-us=N] [capacity=N] [shard=I/N] [limit=N] [file-bytes=N] [setting=TEXT] [restart=1]`.
@main
struct LabellingMock {
  static func main() {
    signal(SIGXFSZ, SIG_IGN)
    do {
      let arguments = Array(CommandLine.arguments.dropFirst())
      switch arguments.first {
      case "generate" where arguments.count == 3: try generate(Int(arguments[1]) ?? 0, arguments[2])
      case "run" where arguments.count >= 3:
        try run(input: arguments[1], output: arguments[2], options(arguments.dropFirst(3)))
      default:
        throw RetortError(.invalidArgument, "unknown arguments \(arguments)", remedy: "See the source.")
      }
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  private static func options(_ arguments: ArraySlice<String>) -> [String: String] {
    var options: [String: String] = [:]
    for argument in arguments {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      options[parts[0]] = parts.count == 2 ? parts[1] : ""
    }
    return options
  }

  /// Seven pairs a query, scattered over the file, with ids of their own.
  static func generate(_ rows: Int, _ path: String) throws {
    let file = try AtomicFile(path: path)
    let queries = max(1, rows / 7)
    for row in 0..<rows {
      let query = row &* 7919 % queries
      try file.write(
        #"{"pair_id":"p\#(row)","query":"cordless drill number \#(query)","title":"Item \#(row): drill, 18 V, two batteries, charger and case","description":"A compact drill for wood and metal with a two-speed gearbox."}"#
          + "\n")
    }
    try file.commit()
  }

  static func run(input: String, output: String, _ options: [String: String]) throws {
    if let bytes = options["file-bytes"].flatMap({ UInt($0) }) {
      var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: rlim_t(bytes))
      setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    }
    let reader = try PairReader(path: input)
    let shard = try options["shard"].map { try JobShard($0) }
    let limit = options["limit"].flatMap { Int($0) }
    let identity = JobIdentity(
      input: try InputFingerprint(path: input, format: reader.format), promptHash: "p", model: "mock",
      modelFingerprint: "m", shard: shard, settings: options["setting"].map { ["mock": $0] } ?? [:])
    let ledger = try Ledger(
      path: Ledger.path(forOutput: output), identity: identity, details: ["path of input": input],
      restart: options["restart"] != nil)
    let labeller = MockLabeller(
      capacity: options["capacity"].flatMap { Int($0) } ?? 32,
      delayMicroseconds: options["delay-us"].flatMap { UInt32($0) } ?? 0, keepsRows: false)
    let job = try LabelJob(
      labeller: labeller, reader: reader, ledger: ledger, settings: .init(limit: limit, shard: shard))
    try job.run()
    let progress = job.progress
    try LabelOutput.write(LedgerReader(path: ledger.path), output: output, before: limit)
    try ledger.close()
    print("\(progress.line), \(progress.seconds) s, peak \(peakKiB()) KiB")
  }

  private static func peakKiB() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
    return Int(line.filter(\.isNumber)) ?? 0
  }
}
