// What find() asks a set for.

inline GraphConv get(Tag<GraphConv>) { return {&cheb_term, &cheb_products, &clenshaw, kWidth}; }
inline Raster get(Tag<Raster>) { return {&raster, &resolve, &shade}; }
