import Basics
import Relevance

/// A pair to be labelled, known by its row's number in the input (from 0).
public struct PairWork: Sendable, Equatable {
  public let row: Int
  /// The line of the input where the row starts, from 1.
  public let line: Int
  public let pair: Pair

  public init(row: Int, line: Int, pair: Pair) {
    self.row = row
    self.line = line
    self.pair = pair
  }
}

/// What became of a pair.
public struct PairResult: Sendable {
  public let row: Int
  public let outcome: Result<LabelRecord, RetortError>

  public init(row: Int, outcome: Result<LabelRecord, RetortError>) {
    self.row = row
    self.outcome = outcome
  }
}

/// Labels pairs: takes them as they come and hands results back in any order.
///
/// A pair's result must not depend on which pairs are in flight with it or on the order they came in; the job
/// checks neither, but promises the same output after any interruption on that ground.
public protocol PairLabeller: AnyObject {
  /// Pairs it wants to hold at a time; the job keeps that many submitted while it has any.
  var capacity: Int { get }

  /// Takes a pair. Its result, good or bad, comes from a later ``step()``, once.
  ///
  /// - Throws: only what ends the whole job (a lost device); what is wrong with one pair is its result.
  func submit(_ work: PairWork) throws

  /// Works on what was submitted until there is something to hand back, or for a short while; may return nothing.
  ///
  /// - Throws: what ends the whole job.
  func step() throws -> [PairResult]
}
