// Which pictures the arguments IMAGE|DIR... mean, and where results about them go.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace cli {

/// A picture to read, or what was wrong with the argument that should have named some.
struct Input {
    std::string path;
    std::string error;  ///< empty: none
};

/// Files as given; a directory stands for the picture files (.jpg, .jpeg, .png, .bmp, .pgm, .ppm, any case) in it and below,
/// sorted by path.
std::vector<Input> list_inputs(const std::vector<std::string>& arguments);

/// Names for files `<stem>.png` in one directory, each given once: the second `a` becomes a_2.png, and no input that lies in that
/// directory is ever overwritten.
class OutputNames {
public:
    /// Creates the directory. Throws retinaface::Error (io).
    OutputNames(std::string directory, const std::vector<Input>& inputs);

    /// The path for the picture made from `input`.
    std::string next(const std::string& input);

private:
    std::string directory_;
    std::set<std::string> used_;
};

}  // namespace cli
