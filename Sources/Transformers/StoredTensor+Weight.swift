import Basics
import ModelFormats
import Tensors

extension StoredTensor {
  /// The tensor as a backend takes it, its shape and scales checked; `field` names it in errors.
  ///
  /// - Throws: `shapeMismatch`; `malformedFile` for a scale that is not finite.
  func weight(_ shape: Shape, field: String) throws -> WeightSource {
    guard self.shape == shape else {
      throw RetortError(
        .shapeMismatch, "the tensor has shape \(self.shape), the configuration asks for \(shape)",
        file: file, field: field,
        remedy: "The file is damaged or its configuration belongs to another model; fetch it again.")
    }
    try validateFiniteScales()
    return WeightSource(name: name, dtype: dtype, shape: shape, file: file, bytes: bytes, release: release)
  }
}
