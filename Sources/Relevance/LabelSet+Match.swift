import Basics

extension LabelSet {
  /// Where each label of the set stands among a student's outputs.
  ///
  /// - Throws: `invalidArgument` where the names differ; order and case do not matter.
  public func places(among outputs: [String]) throws -> [Int] {
    let found = outputs.map { index(of: $0) }
    let places = labels.indices.map { label in found.firstIndex { $0 == label } }
    guard outputs.count == count, !places.contains(nil) else {
      throw RetortError(
        .invalidArgument,
        "the student's labels are \(outputs.joined(separator: ", ")), the label set's "
          + names.joined(separator: ", "),
        field: "labels", remedy: "Pass the label set that the student was trained with.")
    }
    return places.compactMap { $0 }
  }
}
