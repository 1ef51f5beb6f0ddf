import Basics

/// A teacher's records by `pair_id`, as `retort label` writes them: distributions and verdicts.
public struct TeacherFile: Sendable {
  /// What a record says of its pair.
  public struct Judgement: Sendable, Equatable {
    public let distribution: LabelDistribution
    /// By aspect; an aspect whose verdict could not be read is absent.
    public let verdicts: [String: Verdict]
  }

  public let path: String
  public let judgements: [String: Judgement]
  /// Aspects that any record names: those of the standard outline in its order, then others by name.
  public let aspects: [String]

  /// Reads JSON Lines.
  ///
  /// - Throws: `fileUnavailable`; `malformedRow` with file, line and field for the first record that is unreadable,
  ///   does not fit `labels`, or has a verdict that is none of the three, and where records share a `pair_id`: these
  ///   are counted and listed.
  public init(path: String, labels: LabelSet) throws {
    var reader = JSONLinesReader(stream: try ByteStream(path: path), maximumBytes: 1 << 22)
    var judgements: [String: Judgement] = [:]
    var named: Set<String> = []
    var twice: [GapList.Entry] = []
    while let (line, fields) = try reader.next() {
      do {
        let fields = try fields.get()
        let (pairID, prediction) = try PredictionFile.prediction(fields, labels)
        let verdicts = try TeacherFile.verdicts(fields["verdicts"], named: &named)
        let judgement = Judgement(distribution: prediction.distribution, verdicts: verdicts)
        if judgements.updateValue(judgement, forKey: pairID) != nil {
          twice.append(GapList.Entry(pairID: pairID, line: line))
        }
      } catch let error as RetortError {
        throw RetortError(
          error.code, error.message, file: path, field: error.field, position: "line \(line)",
          remedy: error.remedy)
      }
    }
    if let error = GapList.repeated(
      twice, file: path, rows: "records", remedy: "Keep one record a pair; 'retort merge' joins shards.")
    {
      throw error
    }
    self.path = path
    self.judgements = judgements
    let standard = RationaleOutline.standard.names.filter(named.contains)
    aspects = standard + named.subtracting(standard).sorted()
  }

  private static func verdicts(_ value: JSONValue?, named: inout Set<String>) throws -> [String: Verdict] {
    switch value {
    case nil, .null: return [:]
    case .object(let entries):
      var verdicts: [String: Verdict] = [:]
      for (aspect, entry) in entries {
        named.insert(aspect)
        switch entry {
        case .null: continue
        case .string(let text):
          guard let verdict = Verdict(rawValue: text) else { fallthrough }
          verdicts[aspect] = verdict
        default:
          throw PredictionFile.problem(
            "the verdict on \"\(aspect)\" is none of \(Verdict.allCases.map(\.rawValue).joined(separator: ", "))",
            "verdicts", "Write one of them, or null.")
        }
      }
      return verdicts
    case .some(let other):
      throw PredictionFile.problem(
        "expected an object, found \(other.kind)", "verdicts", "Pass records as 'retort label' writes them.")
    }
  }
}
