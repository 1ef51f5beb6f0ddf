import Basics
import ModelFormats
import Tensors

/// Scores query–item pairs with a representation student: a unit vector for each text, their cosine, and the ordinal
/// head's label probabilities.
public final class TwoTowerScorer: StudentScorer {
  public let embedder: Embedder
  public let labels: [String]
  private let head: OrdinalHead

  public var maximumLength: Int { embedder.maximumLength }

  /// Opens a folder that `retort distill --student representation` has written.
  ///
  /// - Parameters:
  ///   - description: what the folder's `retort.json` says; read from there by default.
  ///   - maximumLength: tokens that texts are cut to; by default what the student was trained with.
  ///   - batchTokens: tokens in a batch.
  /// - Throws: what ``Embedder`` throws; `unsupported` for a student of another kind; `malformedFile` for heads that
  ///   are damaged or of other labels, or an encoder without unit vectors.
  public init(
    folder: String, _ description: StudentDescription? = nil, backend: any Backend,
    compute: ComputeMode = .auto, maximumLength: Int? = nil,
    batchTokens: Int = PairScorer.defaultBatchTokens
  ) throws {
    let description = try description ?? StudentDescription(folder: folder)
    guard description.student == .representation else {
      throw RetortError(
        .unsupported, "a student of the kind \(description.student.rawValue)",
        file: folder + "/" + StudentDescription.fileName, field: "student",
        remedy: "Open it with PairScorer, or give a representation student.")
    }
    head = try OrdinalHead(folder: folder, description)
    embedder = try Embedder(
      folder: folder, backend: backend, compute: compute,
      maximumLength: maximumLength ?? description.maximumLength, batchTokens: batchTokens)
    guard embedder.recipe.normalizes, embedder.recipe.pooling == .mean else {
      throw RetortError(
        .malformedFile, "the vectors are not normalised means", file: folder + "/modules.json",
        field: "type", remedy: "Put back the modules.json that 'retort distill' wrote.")
    }
    try StudentHeads.check(folder: folder, description, width: embedder.width)
    labels = description.labels.map(\.name)
  }

  /// What a call computed; rows are in the order of the pairs.
  public struct Result: Sendable {
    public var cosines: [Float]
    /// `[pairs, labels]`.
    public var probabilities: [Float]
    /// Tokens of the distinct texts, special ones included.
    public var tokens: Int
  }

  /// Cosines and probabilities of pairs; each distinct text is embedded once.
  ///
  /// - Throws: what the backend throws.
  public func score(_ pairs: [(query: String, item: String)]) throws -> Result {
    // By their bytes: strings that differ in them alone may still be equal.
    var places: [[UInt8]: Int] = [:]
    var texts: [String] = []
    func place(_ text: String) -> Int {
      let bytes = Array(text.utf8)
      if let known = places[bytes] { return known }
      places[bytes] = texts.count
      texts.append(text)
      return texts.count - 1
    }
    let rows = pairs.map { (query: place($0.query), item: place($0.item)) }
    let embedded = try embedder.embed(texts)
    let width = embedder.width
    var result = Result(cosines: [], probabilities: [], tokens: embedded.tokens)
    result.cosines.reserveCapacity(rows.count)
    result.probabilities.reserveCapacity(rows.count * labels.count)
    embedded.vectors.withUnsafeBufferPointer { vectors in
      for row in rows {
        var cosine = 0.0
        for column in 0..<width {
          cosine += Double(vectors[row.query * width + column]) * Double(vectors[row.item * width + column])
        }
        result.cosines.append(Float(cosine))
        result.probabilities += head.probabilities(cosine: cosine).map(Float.init)
      }
    }
    return result
  }

  public func scores(_ pairs: [(query: String, item: String)]) throws -> StudentScores {
    let result = try score(pairs)
    return StudentScores(
      probabilities: result.probabilities, cosines: result.cosines, tokens: result.tokens)
  }
}
