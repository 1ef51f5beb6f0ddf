import Basics
import Tensors

/// A request on its way through the engine: pure state, no I/O.
struct Sequence {
  enum Phase: Equatable {
    case waiting
    case generating
    /// Reading query `index` of the forced choice.
    case choosing(index: Int)
    case finished
  }

  let id: Int
  let request: GenerationRequest
  /// Order of arrival; the latest is preempted first.
  let arrival: Int
  var phase: Phase = .waiting
  /// Prompt, generated tokens, and in a forced choice the cue and the path.
  var tokens: [Int32]
  /// Leading tokens whose keys and values are in the cache.
  var computed = 0
  var blockTable: [Int32] = []
  /// Leading blocks of the table that are in the prefix index, never to be written again.
  var published = 0
  /// Leading tokens that were in the cache at some time, preempted or not.
  var reached = 0
  var generated: [Int32] = []
  var logProbabilities: [Float] = []
  var text = StopScanner()
  var finishReason: FinishReason?
  var choices: [[Float]] = []
  /// Where the constraint is after `generated`.
  var state: TokenConstraint.StateID = 0
  var jumpedTokens = 0
  /// A legal ending after `generated`, of no more tokens than are left.
  var ending: [Int32] = []
  /// What may follow, where the limit leaves less than the constraint allows.
  var narrowed: AllowedTokens?
  /// Places in `generated` where the limit left less to choose from, or nothing.
  var limited: [Int] = []
  /// Whether the limit has shaped the answer.
  var isLimited = false
  var lease: ConstraintLease?
  /// Length of `tokens` that the forced choice starts from.
  var choiceBase = 0

  init(id: Int, arrival: Int, request: GenerationRequest) {
    self.id = id
    self.arrival = arrival
    self.request = request
    tokens = request.prompt
    text.stops = request.stopStrings
  }

  /// Tokens not yet in the cache.
  var pending: Int { tokens.count - computed }

  /// Leading tokens that others may share: the paths of a forced choice come and go.
  var settledCount: Int {
    if case .choosing = phase { return min(choiceBase, tokens.count) }
    return tokens.count
  }
}

/// Finds stop strings in streamed text and holds back what may be the start of one.
struct StopScanner {
  var stops: [String] = []
  private(set) var text = ""
  private(set) var isStopped = false
  /// Bytes of `text` already handed out.
  private var emitted = 0

  /// Appends a piece; returns what may be shown now.
  mutating func append(_ piece: String) -> String {
    guard !isStopped else { return "" }
    let previous = text.utf8.count
    text += piece
    let longest = stops.map(\.utf8.count).max() ?? 0
    let bytes = Array(text.utf8)
    let from = max(0, previous - longest)
    if let cut = stops.compactMap({ StopScanner.find(Array($0.utf8), in: bytes, from: from) }).min() {
      isStopped = true
      text = String(decoding: bytes[..<cut], as: UTF8.self)
      return emit(upTo: cut)
    }
    var safe = bytes.count
    for stop in stops {
      let stop = Array(stop.utf8)
      for length in stride(from: min(stop.count - 1, bytes.count), to: 0, by: -1)
      where bytes.suffix(length).elementsEqual(stop.prefix(length)) {
        safe = min(safe, bytes.count - length)
        break
      }
    }
    return emit(upTo: safe)
  }

  /// What was held back, when nothing more comes.
  mutating func finish() -> String { isStopped ? "" : emit(upTo: text.utf8.count) }

  private mutating func emit(upTo end: Int) -> String {
    guard end > emitted else { return "" }
    let utf8 = text.utf8
    let piece = String(
      decoding: utf8[
        utf8.index(utf8.startIndex, offsetBy: emitted)..<utf8.index(utf8.startIndex, offsetBy: end)],
      as: UTF8.self)
    emitted = end
    return piece
  }

  private static func find(_ needle: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
    guard !needle.isEmpty, bytes.count >= needle.count else { return nil }
    return (min(from, bytes.count)...bytes.count).first { start in
      start + needle.count <= bytes.count && bytes[start..<start + needle.count].elementsEqual(needle)
    }
  }
}
