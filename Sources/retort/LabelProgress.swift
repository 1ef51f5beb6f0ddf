import Basics
import Dispatch
import Foundation
import Labelling

/// Shows how far a job is: a bar on a terminal, else a line on standard error every few seconds.
final class LabelProgress {
  private static let secondsBetweenLines = 5.0

  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) != 0
  private var bar: ProgressBar?
  private var barTotal = -1
  private var lastLine = 0.0

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  func update(_ progress: JobProgress) {
    guard !isQuiet else { return }
    guard isTerminal else {
      if progress.seconds - lastLine >= LabelProgress.secondsBetweenLines {
        lastLine = progress.seconds
        Output.note("label: \(progress.line)")
      }
      return
    }
    // The total is an estimate until the input has been read to its end.
    if barTotal != progress.total {
      barTotal = progress.total
      bar = ProgressBar(
        "Labelling", total: progress.total, startingAt: progress.finished - progress.finishedNow,
        elapsedSeconds: progress.seconds)
    }
    bar?.update(progress.finished, note: progress.note)
  }

  func finish(_ progress: JobProgress) {
    bar?.finish()
    if !isQuiet, !isTerminal { Output.note("label: \(progress.line)") }
  }
}
