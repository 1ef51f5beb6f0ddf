import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformers

/// One step, and ten, of both students against PyTorch.
@Suite(.serialized) struct TrainingStepTests {
  struct Run {
    let fixture: TrainingStep
    let student: any Student
    let trainer: StudentTrainer
    let backend: any TrainingBackend
    let rows: [TrainingRow]
    let expected: SafetensorsFile
    /// Tensors by the fixture's names.
    let tensors: [(name: String, parameter: Parameter, rows: Range<Int>)]
  }

  @Test(arguments: StudentKind.allCases) func ratesDecayByLayerFromTheOutput(kind: StudentKind) throws {
    let fixture = try TrainingStep.load()
    let folder = try TrainingStep.modelFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let shape = StudentShape(labels: try fixture.labelSet(), aspects: fixture.aspects)
    let backend: any TrainingBackend = try BackendPlace.cpu.backend
    let student = try kind.make(
      EncoderSource(folder: folder), shape: shape, seed: 1, layerDecay: 0.5, on: backend)
    #expect(student.encoder.configuration.layers == 2)
    for parameter in student.encoder.parameters {
      let expected: Float =
        parameter.name.hasPrefix("embeddings.") ? 0.125 : parameter.name.contains(".layer.0.") ? 0.25 : 0.5
      #expect(parameter.rateFactor == expected, "\(parameter.name)")
    }
    #expect(student.modelHeads.allSatisfy { $0.parameter.rateFactor == 1 })
  }

  static func run(_ kind: StudentKind, on place: BackendPlace, pieceTokens: Int = 4096) throws -> Run {
    let backend: any TrainingBackend = try place.backend
    let fixture = try TrainingStep.load()
    let folder = try TrainingStep.modelFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = try EncoderSource(folder: folder)
    let shape = StudentShape(
      labels: try fixture.labelSet(), aspects: fixture.aspects, slotWidth: fixture.settings.slot)
    let student: any Student =
      switch kind {
      case .interaction: try InteractionStudent(source, shape: shape, seed: 1, on: backend)
      case .representation:
        try RepresentationStudent(
          source, shape: shape, seed: 1, headRateFactor: fixture.settings.headFactor, on: backend)
      }
    let initial = try SafetensorsFile(path: TrainingStep.folder + "/initial.safetensors")
    for head in student.modelHeads + student.extraHeads {
      let name = head.name.hasPrefix("pooler") ? "bert." + head.name : head.name
      try backend.write(try initial.floats(name), to: head.parameter.value)
    }
    let prefix = kind == .interaction ? "bert." : ""
    let tensors =
      student.encoder.stored.map { (prefix + $0.name, $0.parameter, $0.rows) }
      + (student.modelHeads + student.extraHeads).map {
        (
          $0.name.hasPrefix("pooler") ? "bert." + $0.name : $0.name, $0.parameter,
          0..<$0.parameter.value.shape[0]
        )
      }
    return Run(
      fixture: fixture, student: student,
      trainer: StudentTrainer(
        student, settings: try fixture.lossSettings(), dropoutRate: 0, precision: .f32,
        pieceTokens: pieceTokens, on: backend),
      backend: backend, rows: try fixture.trainingRows(kind),
      expected: try SafetensorsFile(path: TrainingStep.folder + "/\(kind.rawValue).safetensors"),
      tensors: tensors)
  }

  /// Rows of a parameter's tensor.
  static func values(_ tensor: Tensor, _ rows: Range<Int>, _ backend: any Backend) throws -> [Float] {
    let all = try backend.read(tensor)
    let width = tensor.shape.rank == 2 ? tensor.shape[1] : 1
    return Array(all[rows.lowerBound * width..<rows.upperBound * width])
  }

  /// The largest difference as a share of the largest expected value.
  static func difference(_ actual: [Float], _ expected: [Float]) -> Float {
    guard actual.count == expected.count else { return .infinity }
    let size = max(expected.map(abs).max() ?? 0, 1e-6)
    return zip(actual, expected).map { abs($0 - $1) / size }.max() ?? 0
  }

  @Test(arguments: StudentKind.allCases, BackendPlace.allFamilies)
  func lossAndGradientsAreThoseOfPyTorch(kind: StudentKind, place: BackendPlace) throws {
    for pieceTokens in [4096, 24] {
      try compareStep(Self.run(kind, on: place, pieceTokens: pieceTokens), kind)
    }
  }

  func compareStep(_ run: Run, _ kind: StudentKind) throws {
    let result = run.fixture.result(kind)
    let loss = try run.trainer.step(run.rows, key: 0)
    #expect(abs(loss.value - result.loss) < 1e-5 * max(1, result.loss))
    for term in LossTerm.allCases {
      #expect(abs((loss.parts[term] ?? 0) - (result.parts[term.rawValue] ?? .nan)) < 1e-5 * 4, "\(term)")
    }
    for tensor in run.tensors {
      let actual = try Self.values(tensor.parameter.gradient, tensor.rows, run.backend)
      let expected = try run.expected.floats("gradients." + tensor.name)
      if tensor.name.hasSuffix(".key.bias") {
        // It shifts all scores of a row alike, so it has no gradient but rounding.
        #expect(actual.allSatisfy { abs($0) < 1e-5 }, "\(tensor.name)")
      } else {
        let difference = Self.difference(actual, expected)
        #expect(difference < 1e-4, "\(tensor.name) differs by \(difference)")
      }
    }
  }

  @Test(arguments: StudentKind.allCases, BackendPlace.allFamilies)
  func tenStepsLeadWherePyTorchIs(kind: StudentKind, place: BackendPlace) throws {
    let run = try Self.run(kind, on: place)
    let settings = run.fixture.settings
    let parameters = run.student.parameters(run.trainer.settings)
    let moments = try parameters.map { parameter in
      try (0..<2).map { _ in
        let tensor = try run.backend.allocate(parameter.value.shape, .f32)
        try run.backend.zero(tensor)
        return tensor
      }
    }
    for (index, step) in run.fixture.result(kind).steps.enumerated() {
      for parameter in parameters { try run.backend.zero(parameter.gradient) }
      let loss = try run.trainer.step(run.rows, key: 0)
      #expect(abs(loss.value - step.loss) < 1e-4 * max(1, step.loss), "step \(index)")
      let norm = try run.backend.sumOfSquares(parameters.map(\.gradient)).squareRoot()
      #expect(abs(norm - step.gradientNorm) < 1e-3 * step.gradientNorm, "step \(index)")
      for (parameter, moments) in zip(parameters, moments) {
        try run.backend.adamW(
          parameter.value, gradient: parameter.gradient, firstMoment: moments[0], secondMoment: moments[1],
          AdamWStep(
            learningRate: step.rate * parameter.rateFactor,
            weightDecay: parameter.decays ? settings.weightDecay : 0, step: index + 1,
            gradientScale: Float(min(1, 1 / (norm + 1e-6)))))
      }
    }
    for tensor in run.tensors where !tensor.name.hasSuffix(".key.bias") {
      let actual = try Self.values(tensor.parameter.value, tensor.rows, run.backend)
      let expected = try run.expected.floats("after." + tensor.name)
      let difference = Self.difference(actual, expected)
      #expect(difference < 1e-4, "\(tensor.name) differs by \(difference)")
    }
  }
}
