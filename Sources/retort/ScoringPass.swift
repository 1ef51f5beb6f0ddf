import Basics
import Dispatch
import ModelFormats
import Relevance
import Scoring

/// Scores a file of pairs into a file of records, window by window.
struct ScoringPass {
  let scorer: any StudentScorer
  let labels: LabelSet
  /// Rows that cannot be read are left out; by default they end the pass.
  var skipsBadRows = false
  var showsProgress = true

  /// What a pass took.
  struct Result {
    var rows = 0
    var tokens = 0
    /// The whole pass, and its scoring alone.
    var seconds = 0.0
    var scoringSeconds = 0.0
  }

  /// Pairs that are sorted by length together.
  private static let windowPairs = 8192

  /// The label set of a folder: its own where it describes itself, else the built-in one.
  ///
  /// - Throws: as `StudentDescription.find(folder:)`; `malformedFile` where its labels are no set.
  static func labels(folder: String) throws -> LabelSet {
    guard let description = try StudentDescription.find(folder: folder) else { return .standard }
    do {
      return try LabelSet(description.labels.map { Relevance.Label(name: $0.name, gain: $0.gain) })
    } catch let error as RetortError {
      throw error.naming(file: folder + "/" + StudentDescription.fileName)
    }
  }

  /// Records in the input's order.
  ///
  /// - Throws: what reading, scoring and writing throw; `invalidArgument` where the label set is not the student's.
  func run(input: String, output: String) throws -> Result {
    let places = try labels.places(among: scorer.labels)
    let reader = try PairReader(path: input)
    let file = try AtomicFile(path: output, madeFrom: [input])
    let bar = ProgressBar("Scoring", total: reader.byteCount, isEnabled: showsProgress)
    let start = DispatchTime.now().uptimeNanoseconds
    var (window, result, isAtEnd) = ([Pair](), Result(), false)
    while !isAtEnd {
      switch try reader.next() {
      case .pair(let pair, _): window.append(pair)
      case .error(let error): if !skipsBadRows { throw error.reason }
      case nil: isAtEnd = true
      }
      guard window.count == Self.windowPairs || isAtEnd else { continue }
      let begin = DispatchTime.now().uptimeNanoseconds
      let scores = try scorer.scores(window.map { ($0.query, $0.title) })
      result.scoringSeconds += Self.seconds(since: begin)
      try file.write(lines(window, scores, places))
      result.rows += window.count
      result.tokens += scores.tokens
      window.removeAll(keepingCapacity: true)
      bar.update(reader.bytesRead)
    }
    bar.finish()
    try file.commit()
    result.seconds = Self.seconds(since: start)
    return result
  }

  private func lines(_ pairs: [Pair], _ scores: StudentScores, _ places: [Int]) throws -> String {
    var text = ""
    for (row, pair) in pairs.enumerated() {
      let distribution = try LabelDistribution(
        labels: labels, probabilities: places.map { Double(scores.probabilities[row * places.count + $0]) })
      text += ScoreRecord(pair, distribution, cosine: scores.cosines.map { Double($0[row]) }).json + "\n"
    }
    return text
  }

  private static func seconds(since start: UInt64) -> Double {
    Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }
}
