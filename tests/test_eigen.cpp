// Faces and meshes as Eigen maps: the same floats, where they lie.
#include <doctest/doctest.h>

#include <vector>

#include "retinaface/eigen.hpp"
#include "retinaface/mesh.hpp"

using namespace retinaface;

namespace {

std::vector<Face> numbered_faces(int count) {
    std::vector<Face> faces(static_cast<std::size_t>(count));
    float next = 0;
    for (Face& face : faces) {
        face.score = next++;
        face.box = {next, next + 1, next + 2, next + 3};
        next += 4;
        for (Point& point : face.landmarks) {
            point = {next, next + 1};
            next += 2;
        }
    }
    return faces;
}

}  // namespace

TEST_CASE("maps hold what the faces hold") {
    const std::vector<Face> faces = numbered_faces(3);
    const auto boxes = boxes_map(faces);
    const auto scores = scores_map(faces);
    const auto points = landmarks_map(Span<const Face>(faces));
    REQUIRE(boxes.rows() == 3);
    REQUIRE(scores.size() == 3);
    REQUIRE(points.rows() == 3);
    for (int i = 0; i < 3; ++i) {
        const Face& face = faces[static_cast<std::size_t>(i)];
        CHECK(scores(i) == face.score);
        CHECK(boxes(i, 0) == face.box.x1);
        CHECK(boxes(i, 3) == face.box.y2);
        const auto one = landmarks_map(face);
        for (int k = 0; k < 5; ++k) {
            const Point& point = face.landmarks[static_cast<std::size_t>(k)];
            CHECK(one(k, 0) == point.x);
            CHECK(one(k, 1) == point.y);
            CHECK(points(i, 2 * k) == point.x);
            CHECK(points(i, 2 * k + 1) == point.y);
        }
    }
    CHECK(boxes.data() == &faces[0].box.x1);
    CHECK((boxes.col(2) - boxes.col(0)).isConstant(2.0f));
    CHECK(landmarks_map(faces[1]).colwise().mean()(0) == faces[1].landmarks[2].x);
}

TEST_CASE("no faces are maps of no rows") {
    const Span<const Face> none;
    CHECK(boxes_map(none).rows() == 0);
    CHECK(scores_map(none).size() == 0);
    CHECK(landmarks_map(none).rows() == 0);
}

TEST_CASE("a mesh's maps hold what the mesh holds") {
    MeshEstimator estimator = default_mesh_estimator();
    Face face;
    face.landmarks = {Point{201, 105}, Point{246, 104}, Point{228, 133}, Point{206, 149}, Point{243, 148}};
    const Mesh& mesh = estimator.estimate({}, face);
    const auto vertices = vertices_map(mesh.vertices3d), projected = vertices_map(mesh.projected);
    const auto triangles = triangles_map(estimator.triangles());
    const auto landmarks = landmarks_map(mesh.landmarks68);
    REQUIRE(vertices.rows() == 9409);
    REQUIRE(projected.rows() == 9409);
    CHECK(vertices.data() == mesh.vertices3d.data());
    CHECK(projected(9408, 2) == mesh.projected[3 * 9408 + 2]);
    CHECK(landmarks(67, 1) == mesh.landmarks68[67][1]);
    CHECK(triangles.rows() == static_cast<Eigen::Index>(estimator.triangles().size() / 3));
    CHECK(triangles.minCoeff() == 0);
    CHECK(triangles.maxCoeff() == 9408);
    // The projection is the mesh's own: one matrix for all vertices.
    const Eigen::Map<const Eigen::Matrix<float, 3, 4, Eigen::RowMajor>> matrix(mesh.projection.rows[0].data());
    const Eigen::MatrixXf rows = (vertices * matrix.leftCols<3>().transpose()).rowwise() + matrix.col(3).transpose();
    const Eigen::VectorXf x = rows.col(0).cwiseQuotient(rows.col(2));
    CHECK((x - projected.col(0)).cwiseAbs().maxCoeff() < 0.01f);
}
