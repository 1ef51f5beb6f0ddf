import Basics
import Generation
import Relevance

/// The samples of a pair as they come in.
struct PairSamples {
  let work: PairWork
  /// In the order of the draws; nil for one that is on its way.
  var outcomes: [Result<Completion, RetortError>?]

  init(work: PairWork, count: Int) {
    self.work = work
    outcomes = [Result<Completion, RetortError>?](repeating: nil, count: count)
  }

  var isComplete: Bool { outcomes.allSatisfy { $0 != nil } }

  /// The completions and what `read` makes of each, without those that fail.
  ///
  /// - Throws: the first failure where all fail.
  func successes(_ read: (Completion) throws -> LabelSample) throws -> ([Completion], [LabelSample]) {
    var completions: [Completion] = []
    var samples: [LabelSample] = []
    var failure: (any Error)?
    for case let outcome? in outcomes {
      do {
        let completion = try outcome.get()
        samples.append(try read(completion))
        completions.append(completion)
      } catch {
        failure = failure ?? error
      }
    }
    if samples.isEmpty, let failure { throw failure }
    return (completions, samples)
  }

  /// The seed of a pair's draws: a draw of the job's seed (Philox) at a hash of the pair's prompt, so that it is the
  /// same in any row, order, batch and shard.
  static func seed(_ seed: UInt64, prompt: [Int32]) -> UInt64 {
    // FNV-1a over the tokens.
    let hash = prompt.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
      ($0 ^ UInt64(UInt32(bitPattern: $1))) &* 0x100_0000_01B3
    }
    let words = Philox(key: seed).words(hash, .max - 1)
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }

  /// An error as a row's result carries it.
  static func described(_ error: any Error) -> RetortError {
    error as? RetortError
      ?? RetortError(.deviceFailure, "\(error)", remedy: "Report this with the pair that it happened on.")
  }
}
